"""Shadowing in a worker: its lifecycle, and where its evidence goes."""
