"""The values and loops of one worker process while it serves, and what it publishes for other processes."""
