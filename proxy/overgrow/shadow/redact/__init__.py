"""Reduces responses to what may be stored: values that people may have sent are removed."""
