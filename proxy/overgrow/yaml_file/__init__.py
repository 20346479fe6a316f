"""YAML files that people write: every value with its place, and every problem at one."""
