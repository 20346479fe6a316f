"""Rules that allow differences, and the file that holds them."""
