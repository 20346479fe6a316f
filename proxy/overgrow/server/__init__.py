"""The production server: gunicorn's master, its workers, their connections and requests."""
