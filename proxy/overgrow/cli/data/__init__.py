"""`overgrow data`: who owns each table, and the move of a table in stages."""
