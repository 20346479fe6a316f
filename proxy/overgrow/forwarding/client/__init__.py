"""The HTTP/1.1 client of one upstream: connections, requests and responses."""
