"""Changes of routes.yaml by a command or the admin page, and their history."""
