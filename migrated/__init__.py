"""The new shop: a plain Flask app that grows feature by feature. README.md tells where things go."""

from migrated.app import create_app

__all__ = ["create_app"]
