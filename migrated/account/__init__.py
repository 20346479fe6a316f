"""The user's own pages, and those of the staff."""

from migrated.account.views import blueprint

__all__ = ["blueprint"]
