"""Draws conclusions from many comparisons: groups, noise, proposals and the gate."""
