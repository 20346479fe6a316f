"""What one worker process holds while it serves, and tells others of itself."""
