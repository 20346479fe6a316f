"""What is compared, and what a difference is. Pure."""
