"""Limits the CPU time of comparisons to a share of one core, divided fairly among the routes.

Pure: time comes in by argument. Each route earns an equal part of the share and saves a little of it. Time that
a route does not need goes into a fund that any route may use. A route with heavy responses therefore gets only
the time that other routes leave over. An expensive comparison delays only its own route.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FORGET_IDLE_AFTER_S = 60.0  # a route without a copy for this long earns nothing


@dataclass(slots=True)
class _RouteAccount:
    """The CPU seconds that a route has left, the time of its last query, and the average cost of its comparisons."""

    left_s: float
    asked_at_s: float
    cost_s: float = 0.0


class CpuBudget:
    """Grants CPU time for comparisons: each second adds `share` of a second, and at most `max_s` can be saved.

    Each route starts with `loan_s` seconds, so that its first comparison can begin at once.
    """

    __slots__ = ("_accounts", "_at_s", "_fund_s", "_loan_s", "_max_s", "_share", "_stopwatch")

    def __init__(
        self,
        stopwatch: Callable[[], float],
        *,
        share: float = 0.1,
        max_s: float = 0.5,
        loan_s: float = 0.02,
    ) -> None:
        self._stopwatch = stopwatch
        self._share = share
        self._max_s = self._fund_s = max_s
        self._loan_s = loan_s
        self._at_s: float | None = None
        self._accounts: dict[str, _RouteAccount] = {}

    def has_budget_for(self, route: str) -> bool:
        """Whether a route has enough CPU time for another comparison."""
        left_s = self._update_account(route).left_s
        return left_s > 0 or left_s + self._fund_s > 0

    def charge(self, route: str, work_s: float) -> None:
        """Charge a route for finished work: its own savings first, then the fund."""
        account = self._update_account(route)
        account.cost_s += (work_s - account.cost_s) * (0.1 if account.cost_s else 1.0)
        account.left_s -= work_s
        if account.left_s < 0:
            lent_s = max(0.0, min(self._fund_s, -account.left_s))
            self._fund_s -= lent_s
            account.left_s = max(account.left_s + lent_s, -self._max_s)

    def average_cpu_s(self, route: str) -> float:
        """The average CPU seconds of the latest comparisons of this route; 0 before its first comparison."""
        account = self._accounts.get(route)
        return account.cost_s if account is not None else 0.0

    def _update_account(self, route: str) -> _RouteAccount:
        now_s = self._stopwatch()
        account = self._accounts.get(route)
        if account is None:
            account = self._accounts[route] = _RouteAccount(self._loan_s, now_s)
        account.asked_at_s = now_s
        self._distribute_earned_time(now_s)
        return account

    def _distribute_earned_time(self, now_s: float) -> None:
        """Give each route its part of the CPU time that was earned since the previous call."""
        if self._at_s is not None:
            earned_s = (now_s - self._at_s) * self._share / len(self._accounts)
            max_s = self._max_s / len(self._accounts)
            for route, account in [*self._accounts.items()]:
                account.left_s += earned_s
                is_idle = now_s - account.asked_at_s > FORGET_IDLE_AFTER_S
                spare_s = account.left_s - (0.0 if is_idle else max_s)
                if spare_s > 0:
                    account.left_s -= spare_s
                    self._fund_s += spare_s
                if is_idle:
                    del self._accounts[route]
            saved_s = sum(max(0.0, each.left_s) for each in self._accounts.values())
            self._fund_s = max(0.0, min(self._fund_s, self._max_s - saved_s))
        self._at_s = now_s
