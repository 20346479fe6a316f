"""Orders: the latest ones, each with its lines, and placing one."""

from migrated.orders.views import blueprint

__all__ = ["blueprint"]
