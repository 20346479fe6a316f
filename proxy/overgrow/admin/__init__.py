"""The admin listener's own Flask app: health, readiness, metrics, a JSON API and pages."""
