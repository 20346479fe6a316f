"""The cart, whose contents are still in legacy's session, and the order made of it."""

from migrated.cart.views import blueprint

__all__ = ["blueprint"]
