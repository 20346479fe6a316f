"""Calls of legacy from a view of the migrated app, by `environ["overgrow.legacy"]`."""
