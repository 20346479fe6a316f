"""Connections that are upgraded and handed over."""
