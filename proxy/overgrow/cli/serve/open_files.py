"""Computes how many clients a worker accepts from the number of files that it may open."""

from __future__ import annotations

import resource

from overgrow.cli.output import echo_safe

MAX_CONNECTIONS = 10_000  # of clients, per worker and listener
OTHER_FILES = 352
OPEN_FILES = 65_536  # for 10,000 clients and their upstream connections, with a margin


def max_connections_for(files: int) -> int:
    """Return how many clients a listener may accept in a worker that may open `files` files.

    The other file descriptors are for 256 connections to legacy, for files, and for clients that are refused. If
    clients of the public listener could use all descriptors, none would be left for the admin listener and for
    legacy.
    """
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(32, (files - OTHER_FILES) * 10 // 11))


def raise_file_limit() -> int:
    """Raise the limit of open files as far as the system allows, and return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft


def note_few_files(files: int) -> None:
    """Print a note if the limit of open files lowers the number of clients that a listener may accept."""
    connections = max_connections_for(files)
    if connections < MAX_CONNECTIONS:
        what = f"a worker may open {files} files, so it accepts {connections} clients at once"
        fix = f"Raise the hard limit (ulimit -Hn, LimitNOFILE) for {MAX_CONNECTIONS} clients."
        echo_safe(f"note: {what}. {fix}", err=True)
