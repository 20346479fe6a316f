"""The work of a person on stored differences: listing them, examining one, previewing a rule, and accepting it."""
