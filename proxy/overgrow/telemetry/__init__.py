"""Telemetry for tools that the team runs: whether their receivers take what they are sent, and what Sentry gets."""
