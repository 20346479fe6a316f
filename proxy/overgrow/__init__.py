"""Overgrow: a strangler-fig front door for moving a legacy web app to Flask one endpoint at a time.

`create_app` and `create_asgi` are the public names. They are imported at first use, so that
`overgrow flip` does not import Flask, gunicorn and the team's app to change one word in a file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overgrow.app import create_app as create_app
    from overgrow.app import create_asgi as create_asgi

__all__ = ["create_app", "create_asgi"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from overgrow import app  # noqa: PLC0415  on demand, as said above

        return getattr(app, name)
    raise AttributeError(f"module 'overgrow' has no attribute {name!r}")
