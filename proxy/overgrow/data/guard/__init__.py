"""The guard: keeps the team's Alembic migrations away from tables that are not the Flask app's."""
