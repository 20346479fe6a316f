"""What of an answer may be kept: no value that a person may have sent."""
