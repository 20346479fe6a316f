"""Asking the other side too, and judging whether it answers like the first. See docs/shadowing.md."""
