"""Parses the text of routes.yaml into a table, and reports every problem."""
