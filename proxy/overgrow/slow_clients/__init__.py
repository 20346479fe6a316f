"""Data that waits for slow clients, and which clients' requests are ended when others wait."""
