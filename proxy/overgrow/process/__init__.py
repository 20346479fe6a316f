"""What one worker process holds while it serves, and what it publishes for others."""
