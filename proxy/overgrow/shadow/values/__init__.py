"""The values of a comparison: responses, differences, and the likeness of values. Pure."""
