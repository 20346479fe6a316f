"""The versions of the store's tables, run by migrating.py."""
