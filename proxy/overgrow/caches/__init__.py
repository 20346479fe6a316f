"""Bounded caches of computed results. A value that belongs to a single request is never cached."""
