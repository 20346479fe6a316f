"""Shadowing: sends copies of requests to the other side, and judges whether both responses are the same.

See docs/shadowing.md.
"""
