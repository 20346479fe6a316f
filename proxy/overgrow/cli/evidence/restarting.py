"""Resets the evidence of routes, for commands that a person runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from overgrow.cli.context import Invocation
from overgrow.cli.evidence.store import NoEvidence
from overgrow.table.state_dir import login_name


def reset_evidence(call: Invocation, routes: Sequence[str], reason: str) -> None:
    """Delete the evidence of some routes; the store records who did it, when and why."""
    from overgrow.evidence import EvidenceReset  # noqa: PLC0415  as above
    from overgrow.store.admin_writes import reset_evidence  # noqa: PLC0415  SQLAlchemy is slow to import
    from overgrow.store.engine import StoreError, engine_of, store_url  # noqa: PLC0415  as above

    try:
        engine = engine_of(store_url(call.state, call.settings.store_url))
        try:
            for route in routes:
                reset_evidence(engine, EvidenceReset(route, time.time(), login_name(), reason))
        finally:
            engine.dispose()
    except StoreError as error:
        raise NoEvidence(error) from error
