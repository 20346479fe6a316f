"""The team's Flask app, called in threads: the migrated side of most routes."""
