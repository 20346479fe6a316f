"""Who serves a request: the words of a table, matching, cohorts, overrides and the decision."""
