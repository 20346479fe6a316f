"""The path of one request through the front door, from its head to its record."""
