"""The evidence of routes begun anew: of some that a person names, or of all."""

from __future__ import annotations

import time
from collections.abc import Sequence

from proxy.cli.context import Call
from proxy.cli.evidence import NoEvidence
from proxy.loading.state import login_name


def begin_anew(call: Call, routes: Sequence[str], reason: str) -> None:
    """Forget what was found of some routes; who did it, when and why is kept."""
    from proxy.store.desk import begin_anew  # noqa: PLC0415  SQLAlchemy is slow to import
    from proxy.store.opening import StoreError, engine_of, store_url  # noqa: PLC0415  as above
    from proxy.store.records import Restart  # noqa: PLC0415  as above

    try:
        engine = engine_of(store_url(call.state, call.settings.store_url))
        try:
            for route in routes:
                begin_anew(engine, Restart(route, time.time(), login_name(), reason))
        finally:
            engine.dispose()
    except StoreError as error:
        raise NoEvidence(error) from error
