"""What waits for slow clients, and who gives way to others."""
