"""Telemetry for the team's own tools: the status of their receivers, and the data for Sentry."""
