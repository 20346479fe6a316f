"""Products: the list and the page of each, for people and as JSON."""

from migrated.products.views import blueprint

__all__ = ["blueprint"]
