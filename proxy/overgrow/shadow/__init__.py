"""Shadowing: asks the other side too, and judges whether both give the same response. See docs/shadowing.md."""
