"""The JSON API of the admin listener: one module per subject, each with a list `ENDPOINTS` of declarations."""
