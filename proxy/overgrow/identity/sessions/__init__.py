"""A reader for each of legacy's frameworks: a format, the store where it needs one, and the user behind the id."""
