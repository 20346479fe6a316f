"""Traces by OpenTelemetry: one span for each request, and one for each attempt to send the request to legacy."""
