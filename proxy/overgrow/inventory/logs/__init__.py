"""Access logs: files, the formats of their lines, and the requests in them."""
