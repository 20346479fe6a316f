"""What waits for slow clients, and which clients are ended when others wait."""
