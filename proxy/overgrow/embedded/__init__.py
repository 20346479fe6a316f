"""The front door inside somebody else's WSGI server."""
