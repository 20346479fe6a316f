"""The team's Flask app: found, imported, its URL rules read."""
