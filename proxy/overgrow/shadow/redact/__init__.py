"""What may be kept of a response: no value that a person may have sent."""
