"""`overgrow inventory`: which endpoints legacy has, as its access logs show them."""
