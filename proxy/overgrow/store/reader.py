"""Answers queries of people and of the gate from the store. It never creates a file or changes a table.

A group is judged by the rules that are in force when it is read. A changed rule therefore also applies to
stored pairs. `explains` is a function that returns whether a rule covers a part. Without it, the rules that
were in force when the pairs were captured decide.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    and_,
    func,
    select,
    true,
)
from sqlalchemy.exc import SQLAlchemyError

from overgrow.evidence import (
    Evidence,
    EvidenceReset,
    Fallbacks,
    Flip,
    Group,
    Losses,
    OpenGroup,
    Part,
    RouteStatus,
    RuleHits,
    ShapeCounts,
    StoredGroups,
)
from overgrow.store import tables
from overgrow.store.cells import hour_of, storable_text
from overgrow.store.engine import StoreError, engine_of, file_of, without_password
from overgrow.store.group_rows import select_groups, select_stored_groups
from overgrow.store.row_builder import (
    NOT_COMPARED,
)
from overgrow.store.schema import HEAD, version_of

Explains = Callable[[Part], bool]
_COMPARED = ("matched", "ignored", "mismatched")
DAY_HOURS = 24


def was_explained(part: Part) -> bool:
    """Return whether a rule covered the part when it was captured."""
    return part.rule is not None


class Reader:
    """Answers queries about one store. It is a context manager; each query is a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def shadow_status(self, *, since: float = 0.0) -> tuple[RouteStatus, ...]:
        """Return the comparisons of each route with compared or served requests, ordered by name."""
        counted, group = tables.shape_count.c, tables.mismatch_group.c
        with self.connect() as connection:
            shapes = connection.execute(
                select(
                    counted.route,
                    counted.control,
                    counted.outcome,
                    func.sum(counted.times),
                    func.max(counted.last_at),
                )
                .where(counted.hour >= hour_of(since))
                .group_by(counted.route, counted.control, counted.outcome)
            ).all()
            groups = connection.execute(
                select(group.route, group.control, func.count())
                .where(group.last_seen_at >= since)
                .group_by(group.route, group.control)
            ).all()
        return _route_statuses(shapes, {(row[0], row[1]): row[2] for row in groups})

    def groups(
        self, route: str | None = None, control: str | None = None, *, since: float = 0.0
    ) -> tuple[Group, ...]:
        """Return the groups seen since `since`, most severe and most frequent first, with parts and examples."""
        with self.connect() as connection:
            return select_groups(connection, _condition_for(route, control), since)

    def stored_groups(self, routes: Collection[str] | None, limit: int) -> StoredGroups:
        """Return at most `limit` groups of some routes (None: of all routes), without examples, the most severe first.

        The number of pairs in the window is not read: `recent` of each group is set to `count`, the number of
        all pairs.
        """
        with self.connect() as connection:
            return select_stored_groups(connection, routes, limit)

    def group(self, key: str) -> tuple[Group, ...]:
        """Return the groups whose key begins with `key`. A long enough beginning matches only one key."""

        def begins(table: Table) -> ColumnElement[bool]:
            return table.c.key.startswith(key, autoescape=True)

        with self.connect() as connection:
            return select_groups(connection, begins, 0.0)

    def evidence(
        self,
        route: str,
        control: str,
        *,
        since: float = 0.0,
        explains: Explains = was_explained,
    ) -> Evidence:
        """Return what the gate judges: the comparisons since the time `since`. The function `explains` applies the rules to them."""
        with self.connect() as connection:
            shapes = connection.execute(_shapes_query(route, control, since)).all()
            groups = select_groups(connection, _condition_for(route, control), since)
            lately = connection.execute(_outcomes_query(route, control, since)).all()
        compared = [row for row in shapes if row.outcome in _COMPARED]
        total = sum(int(row.times) for row in compared)
        open_groups = [group for group in groups if not all(map(explains, group.parts))]
        grouped = sum(each.recent for each in groups if not all(map(was_explained, each.parts)))
        mismatched = sum(int(row.times) for row in compared if row.outcome == "mismatched")
        # The number of groups is bounded: a mismatch whose group was deleted still counts.
        ungrouped = max(0, mismatched - grouped)
        return Evidence(
            route=route,
            control=control,
            compared=total,
            mismatched=min(total, sum(group.recent for group in open_groups) + ungrouped),
            oldest_at=min((row.first_at for row in compared), default=None),
            newest_at=max((row.last_at for row in compared), default=None),
            shapes=_shape_counts(shapes),
            open_groups=tuple(
                OpenGroup(each.key, each.title, each.severity, each.recent) for each in open_groups
            ),
            lately_compared=sum(int(row.times) for row in lately if row.outcome in _COMPARED),
            not_compared={
                row.outcome.removeprefix(NOT_COMPARED): int(row.times)
                for row in lately
                if row.outcome.startswith(NOT_COMPARED)
            },
        )

    def rule_hits(self, route: str | None = None) -> tuple[RuleHits, ...]:
        """Return how often each rule of each route covered a difference."""
        hit = tables.rule_hit.c
        query = select(hit.route, hit.rule, func.sum(hit.times), func.max(hit.last_at))
        found = query.where(_condition_for(route)(tables.rule_hit)).group_by(hit.route, hit.rule)
        return tuple(
            RuleHits(owner, rule, int(times), last_at)
            for owner, rule, times, last_at in self._fetch_rows(found.order_by(hit.route, hit.rule))
        )

    def noise(self, route: str, *, since: float = 0.0) -> tuple[Mapping[str, Any], ...]:
        """Return the noise that the writers learned for a route, by hour, as JSON data of overgrow.shadow."""
        seen = tables.noise
        rows = self._fetch_rows(
            select(seen.c.learned)
            .where(seen.c.route == storable_text(route), seen.c.hour >= hour_of(since))
            .order_by(seen.c.hour, seen.c.boot)
        )
        return tuple(json.loads(row.learned) for row in rows)

    def fallbacks(self, route: str | None = None, *, since: float = 0.0) -> tuple[Fallbacks, ...]:
        """Return the fallbacks, counted by hour, migrated's outcome and legacy's outcome.

        The latest hour comes first.
        """
        fell = tables.fallback
        rows = self._fetch_rows(
            select(fell)
            .where(_condition_for(route)(fell), fell.c.last_at >= since)
            .order_by(fell.c.last_at.desc(), fell.c.route)
        )
        return tuple(
            Fallbacks(
                route=row.route,
                method=row.method,
                migrated=row.migrated,
                legacy=row.legacy,
                count=row.times,
                first_at=row.first_at,
                last_at=row.last_at,
                slowest_s=row.slowest_s,
            )
            for row in rows
        )

    def flips(self, route: str | None = None, limit: int = 100) -> tuple[Flip, ...]:
        """Return the latest flips from the index of flips.jsonl, the latest first."""
        flip = tables.flip
        rows = self._fetch_rows(
            select(flip)
            .where(_condition_for(route)(flip))
            .order_by(flip.c.number.desc())
            .limit(limit)
        )
        return tuple(map(_flip_from_row, rows))

    def resets(self, route: str | None = None) -> tuple[EvidenceReset, ...]:
        """Return the resets of a route's evidence, latest first."""
        reset = tables.restart
        rows = self._fetch_rows(
            select(reset).where(_condition_for(route)(reset)).order_by(reset.c.at.desc())
        )
        return tuple(EvidenceReset(*row) for row in rows)

    def losses(self) -> Losses:
        """Return how many records did not reach the store, within the time for which losses are kept."""
        loss, writer = tables.loss.c, tables.writer.c
        with self.connect() as connection:
            lost, last_at = connection.execute(
                select(func.coalesce(func.sum(loss.lost), 0), func.max(loss.last_at))
            ).one()
            dropped = connection.execute(
                select(func.coalesce(func.sum(writer.dropped), 0))
            ).scalar_one()
        return Losses(int(lost), int(dropped), last_at)

    def _fetch_rows(self, query: Select[Any]) -> Sequence[Any]:
        with self.connect() as connection:
            return connection.execute(query).all()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection for one query.

        Raises: StoreError: if the store cannot be read.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _unreadable_store(self._engine.url, error) from error


def open_reader(url: URL) -> Reader:
    """Open a reader of a store that exists and has this version.

    Raises:
        StoreError: if the store is missing, has another version, or cannot be read.

    """
    file = file_of(url)
    if file is not None and not file.is_file():
        raise StoreError(
            f"There is no evidence yet: {file} does not exist. `overgrow serve` makes it, and collects "
            "evidence of routes with `shadow:`."
        )
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            version = version_of(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise _unreadable_store(url, error) from error
    if version != HEAD:
        engine.dispose()
        raise StoreError(
            f"The store {without_password(url)} has version {version or 'none'}; this overgrow knows {HEAD}. "
            "`overgrow serve` migrates an older store when it first writes to it; a newer store needs a newer overgrow."
        )
    return Reader(engine)


def _unreadable_store(url: URL, error: SQLAlchemyError) -> StoreError:
    cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return StoreError(f"The store {without_password(url)} cannot be read: {cause}.")


def _condition_for(
    route: str | None, control: str | None = None
) -> Callable[[Table], ColumnElement[bool]]:
    """Return a function that builds a condition: a table's row belongs to a route and a control. None allows any."""

    def condition(table: Table) -> ColumnElement[bool]:
        wanted = [table.c.route == storable_text(route)] if route is not None else []
        wanted += [table.c.control == control] if control is not None else []
        return and_(true(), *wanted)

    return condition


def _shapes_query(route: str, control: str, since: float) -> Select[Any]:
    """Build the query for the counts of each (shape, outcome) since the time `since`."""
    seen = tables.shape_count
    shape = (seen.c.method, seen.c.template, seen.c.query_keys, seen.c.status, seen.c.signed_in)
    return (
        select(
            *shape,
            seen.c.outcome,
            func.sum(seen.c.times).label("times"),
            func.min(seen.c.first_at).label("first_at"),
            func.max(seen.c.last_at).label("last_at"),
        )
        .where(_condition_for(route, control)(seen), seen.c.hour >= hour_of(since))
        .group_by(*shape, seen.c.outcome)
        .order_by(*shape)
    )


def _outcomes_query(route: str, control: str, since: float) -> Select[Any]:
    """Build the query for the counts of each outcome on the latest day.

    The latest day is the day that ends with the newest comparison since the time `since`.
    """
    seen = tables.shape_count
    mine = and_(_condition_for(route, control)(seen), seen.c.hour >= hour_of(since))
    newest = select(func.max(seen.c.hour)).where(mine, seen.c.outcome.in_(_COMPARED))
    first = func.coalesce(newest.scalar_subquery() - DAY_HOURS, 0)
    return (
        select(seen.c.outcome, func.sum(seen.c.times).label("times"))
        .where(mine, seen.c.hour >= first)
        .group_by(seen.c.outcome)
        .order_by(seen.c.outcome)
    )


def _shape_counts(rows: Sequence[Any]) -> tuple[ShapeCounts, ...]:
    served: dict[tuple[Any, ...], int] = defaultdict(int)
    compared: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in rows:
        if row.outcome.startswith(NOT_COMPARED):
            continue
        counts = served if row.outcome == "served" else compared
        counts[row[:5]] += int(row.times)
    return tuple(
        ShapeCounts(
            method=shape[0],
            template=shape[1],
            query_keys=tuple(shape[2].split("&")) if shape[2] else (),
            status=shape[3],
            signed_in=bool(shape[4]),
            served=served[shape],
            compared=compared[shape],
        )
        for shape in sorted({*served, *compared})
    )


def _route_statuses(
    shapes: Sequence[Any], groups: dict[tuple[str, str], int]
) -> tuple[RouteStatus, ...]:
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    newest: dict[tuple[str, str], float] = {}
    for route, control, outcome, times, last_at in shapes:
        counts[route, control][outcome] += int(times)
        if outcome in _COMPARED:
            newest[route, control] = max(last_at, newest.get((route, control), last_at))
    return tuple(
        RouteStatus(
            *owner,
            served=counts[owner]["served"],
            matched=counts[owner]["matched"],
            ignored=counts[owner]["ignored"],
            mismatched=counts[owner]["mismatched"],
            groups=groups.get(owner, 0),
            newest_at=newest.get(owner),
        )
        for owner in sorted(counts)
    )


def _flip_from_row(row: Any) -> Flip:
    evidence = json.loads(row.evidence) if row.evidence is not None else None
    return Flip(**{**row._asdict(), "evidence": evidence})
