"""Reads YAML files that people write, with the place of every value and every problem."""
