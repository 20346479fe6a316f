"""Asking the other side too, and judging whether it answers like the first. See DESIGN section 3."""
