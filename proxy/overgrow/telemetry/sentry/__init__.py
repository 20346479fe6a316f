"""Sends errors of the migrated side to Sentry with route, side and reason, but without data that a client sent."""
