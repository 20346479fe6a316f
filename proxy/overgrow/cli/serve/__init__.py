"""The command `overgrow serve`: what it checks before it starts, and how it starts the server."""
