"""Bounded caches of computed results. Nothing that is made per request is ever cached."""
