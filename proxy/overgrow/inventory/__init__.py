"""The inventory: which endpoints legacy has, as access logs show them."""
