"""Builds readers from the entries of `identity:`. Only this module reads their secrets, and only in a worker.

A secret that is missing makes its reader unavailable; it never stops a worker. These functions read files, so call
them in a thread beside the loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from overgrow.files import ANSWER_S, within
from overgrow.identity.reader import Builders, IdentityReader, Materials, StoreAway
from overgrow.routing.identity import IdentitySource, SecretPlace, Unavailable

MAX_SECRET_BYTES = 64 * 1024


class SecretMissing(Exception):
    """A secret or the address of a store cannot be read. The text names its place, never its content."""


def open_reader(
    source: IdentitySource, builders: Builders, env: Mapping[str, str]
) -> IdentityReader | Unavailable:
    """Return the reader of one entry. If its secrets or its store cannot be read, return Unavailable."""
    build = builders.get(source.reader)
    if build is None:
        return Unavailable(source.reader, "this release has no such reader")
    try:
        return build(_materials_of(source, env))
    except (SecretMissing, StoreAway) as error:
        return Unavailable(source.reader, str(error))


def _materials_of(source: IdentitySource, env: Mapping[str, str]) -> Materials:
    secrets = tuple(read_secret(place, env) for place in source.secrets)
    stores = (_read_store(place, env) for place in (source.store, source.users_store))
    return Materials(source, secrets, *stores)


def _read_store(place: SecretPlace | None, env: Mapping[str, str]) -> str | None:
    if place is None or place.kind == "dir":
        return place.name if place is not None else None
    try:
        return read_secret(place, env).decode()
    except UnicodeDecodeError:
        raise SecretMissing(f"{place} is not UTF-8 text") from None


def read_secret(place: SecretPlace, env: Mapping[str, str]) -> bytes:
    """Return the secret at a place. A line end at the end of a file, which editors add, is removed.

    Raises: SecretMissing: if there is no secret.
    """
    if place.kind == "env":
        secret = env.get(place.name, "").encode("utf-8", "surrogateescape")
        missing = f"the variable {place.name} is not set"
    else:
        secret, missing = _read_file(place), f"{place} is empty"
    if not secret:
        raise SecretMissing(missing)
    return secret


def _read_file(place: SecretPlace) -> bytes:
    path = Path(place.name)
    try:
        data = within(ANSWER_S, path, lambda: _read_start(path))
    except OSError as error:
        raise SecretMissing(f"{place} cannot be read: {error.strerror or 'no answer'}") from None
    if len(data) > MAX_SECRET_BYTES:
        raise SecretMissing(f"{place} is larger than {MAX_SECRET_BYTES // 1024} KiB")
    return data.removesuffix(b"\n").removesuffix(b"\r")


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_SECRET_BYTES + 1)


def fingerprint_of_places(sources: Sequence[IdentitySource], env: Mapping[str, str]) -> bytes:
    """Return a digest of all secrets and store addresses, which changes when one of them changes."""
    digest = hashlib.sha256()
    for source in sources:
        for place in places_of(source):
            digest.update(str(place).encode())
            if place.kind != "dir":
                digest.update(_digest_or_nothing(place, env))
    return digest.digest()


def places_of(source: IdentitySource) -> list[SecretPlace]:
    """Return every place that an entry names."""
    stores = [place for place in (source.store, source.users_store) if place is not None]
    return [*source.secrets, *stores]


def _digest_or_nothing(place: SecretPlace, env: Mapping[str, str]) -> bytes:
    try:
        return hashlib.sha256(read_secret(place, env)).digest()
    except SecretMissing as error:
        return str(error).encode()
