"""Finds and imports the team's Flask app, and reads its URL rules."""
