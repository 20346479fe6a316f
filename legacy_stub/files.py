"""Uploads and downloads: streams, never a whole file in memory."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from email.message import Message
from email.utils import formatdate
from pathlib import Path

from legacy_stub.message import Headers, Pieces, Refused, Request, Response, json_response
from legacy_stub.multipart import Multipart
from legacy_stub.page import error_page, escape, is_known, page
from legacy_stub.shop import Shop

FORM = """\
<form method="post" action="/upload" enctype="multipart/form-data">
<p><label for="file">A picture of your garden</label>
<input id="file" name="file" type="file" required></p>
<p><button>Send</button></p>
</form>"""
BLOCK = b"".join(hashlib.sha256(b"leaf %d" % place).digest() for place in range(8192))
MODIFIED_S = 1_735_689_600  # 1 January 2025
MEGABYTE = 1024 * 1024


def upload(_request: Request, _shop: Shop) -> Response:
    """The form to send a file with."""
    return page(200, "Send us a picture", FORM)


def upload_post(request: Request, shop: Shop) -> Response:
    """Store the form's file, or a body that is no form, and say how long it was and its hash."""
    stored = None
    if (boundary := boundary_of(request.header("content-type"))) is None:
        stored = store(request.body, "body", shop.uploads)
    else:
        for name, data in Multipart(request.body, boundary):
            if name is not None:
                stored = store(data, name, shop.uploads)
    if stored is None:
        return error_page(400, "Not accepted", "The form holds no file.")
    if "application/json" in request.header("accept"):
        return json_response(201, stored)
    line = f"<p>We got {escape(stored['name'])}: {stored['bytes']} bytes, SHA-256 <code>{stored['sha256']}</code>.</p>"
    return page(201, "Thank you", line)


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a multipart form; None for any other type."""
    message = Message()
    message["Content-Type"] = content_type or "application/octet-stream"
    if message.get_content_type() != "multipart/form-data":
        return None
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise Refused(400, "The form names no boundary.")
    return boundary.encode("latin-1")


def store(pieces: Iterable[bytes], name: str, folder: Path) -> dict[str, object]:
    """Write a stream to a file named after its hash; nothing stays of one that breaks off."""
    folder.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            for piece in pieces:
                digest.update(piece)
                count += file.write(piece)
            Path(file.name).replace(folder / digest.hexdigest()[:16])
        except BaseException:
            Path(file.name).unlink()
            raise
    return {"name": name, "bytes": count, "sha256": digest.hexdigest()}


def size_of(name: str) -> int | None:
    """Return the length of a download in bytes: `catalogue.bin`, or `N-mb.bin` up to 1024."""
    if name == "catalogue.bin":
        return 3 * MEGABYTE + 17
    found = re.fullmatch(r"([1-9][0-9]{0,3})-mb\.bin", name)
    return int(found[1]) * MEGABYTE if found and int(found[1]) <= 1024 else None


def download(request: Request, _shop: Shop, name: str) -> Response:
    """A large file, or a range of it."""
    size = size_of(name)
    if size is None:
        return error_page(404, "Not found", "There is no such page in this shop.")
    etag, modified = f'"{name}-{size}"', formatdate(MODIFIED_S, usegmt=True)
    headers: Headers = [("ETag", etag), ("Last-Modified", modified), ("Accept-Ranges", "bytes")]
    if is_unchanged(request, etag, modified):
        return Response(304, headers)
    headers.append(("Content-Type", "application/octet-stream"))
    first, after = range_of(asked_range(request, etag, modified), size)
    if first >= after:
        return Response(416, [*headers, ("Content-Range", f"bytes */{size}")])
    headers.append(("Content-Length", str(after - first)))
    if (first, after) == (0, size):
        return Response(200, headers, piece_of(0, size))
    headers.append(("Content-Range", f"bytes {first}-{after - 1}/{size}"))
    return Response(206, headers, piece_of(first, after))


def is_unchanged(request: Request, etag: str, modified: str) -> bool:
    """Whether the client has the file already; If-None-Match outranks the date."""
    if request.header("if-none-match"):
        return is_known(request.header("if-none-match"), etag)
    return request.header("if-modified-since") == modified


def asked_range(request: Request, etag: str, modified: str) -> str:
    """Return the Range that holds for this state of the file."""
    return request.header("range") if request.header("if-range", etag) in {etag, modified} else ""


def range_of(text: str, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last; the whole for a range not understood."""
    found = re.fullmatch(r"bytes=([0-9]{0,15})-([0-9]{0,15})", text)
    if not found or found[0] == "bytes=-":
        return 0, size
    if not found[1]:
        return max(0, size - int(found[2])), size
    if found[2] and int(found[2]) < int(found[1]):
        return 0, size
    return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size


def piece_of(first: int, after: int) -> Pieces:
    """Yield the bytes of the endless file from `first` up to `after`."""
    while first < after:
        start = first % len(BLOCK)
        piece = BLOCK[start : start + after - first]
        first += len(piece)
        yield piece
