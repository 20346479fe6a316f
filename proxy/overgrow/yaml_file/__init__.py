"""YAML files that people write: every value and every problem has its place in the file."""
