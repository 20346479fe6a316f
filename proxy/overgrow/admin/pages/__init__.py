"""The pages for people: frame, registration, and one module for each page."""
