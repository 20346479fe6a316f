"""Keeps data for slow clients, and ends the requests of the slowest clients when other requests wait."""
