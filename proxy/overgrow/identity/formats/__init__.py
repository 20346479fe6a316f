"""The session formats of other frameworks, one module each: pure functions of bytes, secrets and the time."""
