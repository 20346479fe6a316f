"""Notifications: for each change that people want to know about, a signed POST to a webhook."""
