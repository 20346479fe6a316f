"""A reader for each of legacy's frameworks: a format, a store if the format needs one, and a look-up of the user."""
