"""The history of requests in the store: rows of gains by time, and queries about them."""
