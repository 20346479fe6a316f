"""Traces by OpenTelemetry: one span for each request, one for each attempt to send it to legacy."""
