"""Upgraded connections: the handshake with legacy, then a tunnel of bytes."""
