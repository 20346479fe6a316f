"""Sentry: errors of the migrated side with their route, side and reason, and nothing of what a client sent."""
