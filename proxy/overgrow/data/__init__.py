"""The data of both apps: who owns each table, and how a table moves from legacy to migrated in steps."""
