"""What is remembered so that it is worked out once: bounded, and never what is made per request."""
