"""Two answers compared, part by part."""
