"""What is wrong now: the alerts of the pages, and the workers that do not follow the files on disk.

Nothing here knows Flask or HTML. The files on disk are compared with what workers report, so that a page shows a change
before the workers follow it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from overgrow.admin.view import AdminView, Worker
from overgrow.files import Signature, signature_of, within
from overgrow.table.live import kill_files
from overgrow.table.reading.parse import revision_of
from overgrow.table.reading.table_file import read_table_file
from overgrow.text import rfc3339

LOOK_S = 1.0  # the longest wait for the table's file system


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: what is wrong, since when (RFC 3339, or None if unknown), details, and the fix."""

    what: str
    since: str | None = None
    details: tuple[str, ...] = ()
    fix: str = ""
    command: str = ""


def killed_since_of(view: AdminView) -> str | None:
    """Return when the older of the kill files was made; None if there is no kill file. A dangling link counts as a kill file."""
    times = []
    for path in kill_files(view.config, view.state):
        with suppress(OSError):
            times.append(within(LOOK_S, path, path.lstat).st_mtime)
    return _oldest(times)


def _oldest(times: Sequence[float]) -> str | None:
    return rfc3339(min(times)) if times else None


def revision_on_disk(view: AdminView) -> str | None:
    """Return the revision of the file on disk; None if it cannot be read."""
    try:
        return revision_of(within(LOOK_S, view.config, partial(read_table_file, view.config)))
    except OSError:
        return None


class FilesOnDisk(NamedTuple):
    """What the files say: since when a kill file exists (RFC 3339; None if there is none), and the table's revision."""

    killed_since: str | None
    revision: str | None


class FilesReader:
    """Reads the kill files and the table's revision for open pages, which ask every few seconds.

    One thread reads all of them. If this joint read fails or takes too long, each file is read by itself, so
    that one file that hangs does not hide the other files. The table is read again only if its signature has
    changed.
    """

    def __init__(self, view: AdminView) -> None:
        self._view = view
        self._known: tuple[Signature, str] | None = None

    def read(self) -> FilesOnDisk:
        """Return what the files say now."""
        try:
            return within(LOOK_S, self._view.state / "files of the pages", self._read_all)
        except OSError:
            return FilesOnDisk(killed_since_of(self._view), revision_on_disk(self._view))

    def _read_all(self) -> FilesOnDisk:
        times = []
        for path in kill_files(self._view.config, self._view.state):
            with suppress(OSError):
                times.append(path.lstat().st_mtime)
        return FilesOnDisk(_oldest(times), self._read_revision())

    def _read_revision(self) -> str | None:
        signature = signature_of(self._view.config)
        if self._known is not None and self._known[0] == signature:
            return self._known[1]
        try:
            revision = revision_of(read_table_file(self._view.config))
        except OSError:
            return None
        # Written while it was read: the next look reads again.
        self._known = (
            (signature, revision) if signature_of(self._view.config) == signature else None
        )
        return revision


def lag_sentences(
    living: Sequence[Worker], revision: str | None, *, killed: bool
) -> tuple[str, ...]:
    """Return a sentence for each worker that does not follow the table on disk or the kill file.

    A rejected table alone adds no sentence, because it has an alert of its own.
    """
    found = []
    for worker in living:
        who = f"worker {worker.get('slot')} (pid {worker.get('pid')})"
        if bool(worker.get("killed")) != killed:
            found.append(f"{who} {'has not seen' if killed else 'still sees'} the kill file")
        if worker.get("revision") != revision and revision and not worker.get("reload_error"):
            found.append(f"{who} runs {worker.get('revision')}, the file is {revision}")
    return tuple(found)


# --- alerts ---------------------------------------------------------------------------------------


def readiness_alerts(
    payload: Mapping[str, Any], living: Sequence[Worker], killed_since: str | None
) -> Iterable[Alert]:
    """Yield the alerts that follow from the body of /readyz, the workers and the kill file."""
    if payload["status"] == "draining":
        yield Alert("This front door is shutting down: it drains open requests.")
    if payload["status"] == "starting":
        yield Alert("No worker serves yet.", fix="If this does not change, read the log.")
    if killed_since:
        exempt = payload.get("irreversible", ())
        stay = (
            f"These routes stay on migrated, because their data has left legacy: {', '.join(exempt)}.",
        )
        what = "Killed: legacy serves everything, whatever the table says."
        yield Alert(what, killed_since, stay if exempt else (), '"Resume" ends this.')
    if not payload["upstream"]["up"]:
        yield _upstream_alert(payload["upstream"])
    if payload["reload_error"]:
        yield _reload_alert(payload["reload_error"])
    if payload["boot_error"]:
        yield _boot_alert(payload["boot_error"])
    yield from identity_alerts(living)
    yield from breaker_alerts(living)


def is_well(payload: Mapping[str, Any]) -> bool:
    """Whether /readyz reports that all is well: ready, legacy up, not killed, and no errors."""
    wrong = payload["killed"] or payload["reload_error"] or payload["boot_error"]
    return payload["status"] == "ready" and payload["upstream"]["up"] and not wrong


def split_notes(view: AdminView, payload: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return (notes on the table, other notes).

    A note on the table begins with its place; the other notes are about the app.
    """
    notes = payload.get("notes", ())
    on_file = [each for each in notes if each.startswith(f"{view.config}:")]
    return on_file, [each for each in notes if each not in on_file]


def _upstream_alert(upstream: Mapping[str, Any]) -> Alert:
    what = f"Legacy does not answer ({upstream['error']})."
    fix = "Repair legacy, or correct legacy.url. Migrated routes keep working."
    return Alert(what, upstream["since"], (), fix)


def _reload_alert(error: Mapping[str, Any]) -> Alert:
    what = "The table on disk was rejected; the former table stays in effect."
    return Alert(
        what, error["at"], tuple(map(_problem_text, error["problems"])), "See", "overgrow check"
    )


def _boot_alert(error: Mapping[str, Any]) -> Alert:
    """Return the alert for new workers that exit before they serve, or soon after they begin to serve."""
    what = "New workers do not start. The running ones keep serving, and starts are retried."
    times = f"{error['failures']} failed starts in a row; the latest reported:"
    fix = "Fix that; SIGHUP retries at once."
    return Alert(what, error["at"], (times, error["reason"]), fix)


def _problem_text(problem: Mapping[str, Any]) -> str:
    who = f'route "{problem["route"]}": ' if problem["route"] else ""
    place = f"{problem['file']}:{problem['line']}:{problem['column']}"
    return f"{place}: {who}{problem['message']}. {problem['fix']} [{problem['code']}]"


def identity_alerts(living: Sequence[Worker]) -> Iterable[Alert]:
    """Yield an alert for each reader of `identity` that has a problem in a worker."""
    problems: dict[str, str] = {}
    for worker in living:
        for reader, what in (worker.get("identity") or {}).items():
            problems.setdefault(reader, what)
    for reader, what in sorted(problems.items()):
        text = f"Users cannot be identified by {reader}: {what}."
        fix = "Routes that need the user go to legacy; irreversible ones answer 503."
        yield Alert(text, None, (), fix)


def breaker_alerts(living: Sequence[Worker]) -> Iterable[Alert]:
    """Yield an alert for each combination of route, side and state that open or half-open breakers have."""
    found: defaultdict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for worker in living:
        for each in worker.get("breakers", ()):
            found[each["route"], each["side"], each["state"]].append(each)
    for (route, side, state), breakers in sorted(found.items()):
        where = f"in {len(breakers)} of {len(living)} workers"
        by = breakers[0].get("opened_by")
        why = (
            f"{by['failed']} failed and {by['slow']} slow of {by['answers']} responses"
            if by
            else ""
        )
        what = f"Breaker {state}: {route}, {side}, {where}."
        fix, command = (
            "It closes by itself once the side responds. To close it at once:",
            "overgrow breaker reset",
        )
        yield Alert(what, None, (why,) if why else (), fix, f"{command} {route}")
