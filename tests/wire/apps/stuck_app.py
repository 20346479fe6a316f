"""A team's app whose view takes its time, in a worker that waits 1.5 s for threads, not 60."""

from __future__ import annotations

import time

from flask import Flask

from overgrow.process import runtime as worker

worker.STUCK_LIMIT_S = 1.5


def create_app() -> Flask:
    app = Flask("stuck")
    app.add_url_rule("/slow", "slow", slow)
    app.add_url_rule("/quick", "quick", lambda: "quick")
    return app


def slow() -> str:
    time.sleep(6)
    return "late"
