"""Calls ASGI apps that the Flask app mounts, on the event loop."""
