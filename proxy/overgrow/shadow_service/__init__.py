"""Shadowing in a worker: its life, and the evidence it files."""
