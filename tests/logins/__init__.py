"""Small sites with a login, each by the original framework: what the readers of identities are tried against."""
