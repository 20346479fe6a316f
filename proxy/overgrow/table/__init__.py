"""Reads, validates, watches and edits routes.yaml. An edit changes only the bytes that it must change."""
