"""Notifications: a signed POST to a webhook for each change that people want to hear of."""
