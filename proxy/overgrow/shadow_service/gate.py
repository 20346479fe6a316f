"""Asks the gate for the admin listener: opens the store, reads the rules of today, and judges.

A helper of the composition root, between the store and the rules.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from overgrow.routing.model import Route
from overgrow.shadow.review.gate_report import (
    GateQuestion,
    GateReport,
    judge_gate,
    judge_gate_without_store,
)
from overgrow.shadow.review.rules_folder import FOLDER, TolerantRulesFolder, compare_names
from overgrow.shadow_service.service import today


def ask_gate(
    config: Path, state: Path, store: str | None, routes: Iterable[Route], question: GateQuestion
) -> GateReport:
    """Return the gate's answer. `store` is the database's address, as in OVERGROW_STORE_URL.

    If there is no store, the gate is closed.
    """
    from overgrow.store.engine import StoreError, store_url  # noqa: PLC0415  SQLAlchemy is slow
    from overgrow.store.reader import open_reader  # noqa: PLC0415  as above

    folder = TolerantRulesFolder(
        config.parent / FOLDER, compare_names(routes), today(), lambda _note: None
    )
    now_s = time.time()
    try:
        with open_reader(store_url(state, store)) as reader:
            return judge_gate(reader, question, folder, now_s)
    except (StoreError, PermissionError) as error:
        return judge_gate_without_store(question, str(error), now_s)
