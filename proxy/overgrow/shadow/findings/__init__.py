"""What many comparisons say: groups, noise, proposals and the gate."""
