"""ASGI apps that are mounted: called on the event loop."""
