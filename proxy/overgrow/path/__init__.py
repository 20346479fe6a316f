"""The path of one request: the front door and the request in flight."""
