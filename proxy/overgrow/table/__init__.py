"""Text to table: routes.yaml read, validated, watched, and edited byte for byte."""
