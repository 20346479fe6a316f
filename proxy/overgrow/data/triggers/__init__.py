"""Triggers that carry each write of one table to the other, in the same transaction."""
