"""Scanning logs: no line is lost or counted twice, whatever happens to the file between two scans."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest

from overgrow.inventory import scan as module
from overgrow.inventory.logs.log_file import MAX_LINE_BYTES
from overgrow.inventory.scan import scan_log
from overgrow.inventory.tally import Tally


def log_line(n, path="/a"):
    return f'192.0.2.{n % 200} - - [30/Nov/2026:01:00:00 +0000] "GET {path} HTTP/1.1" 200 {n}\n'.encode()


class Scans:
    """Scans of one folder, one after the other, with what a store would remember."""

    def __init__(self, folder):
        self.folder, self.known, self.tally, self.saved = folder, [], Tally(), []

    def __call__(self, data=None, name="access.log"):
        path = self.folder / name
        if data is not None:
            path.write_bytes(data)
        result = scan_log(path, self.known, self.tally, lambda each: self.saved.append(each.offset))
        if result.progress is not None and not result.is_resumed:
            self.known.append(result.progress)
        return result

    @property
    def requests(self):
        return sum(each.requests for each in self.tally.paths.values())


@pytest.fixture
def scan(tmp_path):
    return Scans(tmp_path)


LINES = b"".join(map(log_line, range(50)))


def test_every_line_is_one_of_the_kinds(scan):
    junk = b'#Version: 1.0\n\nnot a line\n1.2.3.4 - - [30/Nov/2026:01:00:00 +0000] "-" 400 0\n'
    found = scan(LINES + junk).progress

    kinds = (found.requests, found.not_http, found.comments, found.unread)

    assert (50, 1, 2, 1) == kinds
    assert found.lines == sum(kinds)


def test_the_first_unread_line_is_shown(scan):
    assert (51, b"not a line") == scan(LINES + b"not a line\nnor this\n").unread


def test_a_second_scan_counts_nothing_twice(scan):
    scan(LINES)

    assert (0, 50) == (scan().new_lines, scan.requests)


def test_a_log_that_grew_is_read_from_where_it_was(scan):
    scan(log_line(1))
    result = scan(log_line(1) + LINES)

    assert (True, 50, 51) == (result.is_resumed, result.new_lines, scan.requests)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_log_that_was_renamed_and_compressed_is_known(scan, compress):
    scan(LINES)
    result = scan(compress(LINES + log_line(9)), "access.log.1.z")

    assert (1, 51) == (result.new_lines, scan.requests)


def test_a_new_log_under_an_old_name_is_new(scan):
    scan(LINES)
    result = scan(log_line(199))

    assert (False, 1, 51) == (result.is_resumed, result.new_lines, scan.requests)


def test_half_a_line_at_the_end_is_left_for_the_next_scan(scan):
    first = scan(LINES + log_line(7)[:30])
    second = scan(LINES + log_line(7))

    assert (True, 50, 1) == (first.unfinished, first.progress.requests - 1, second.new_lines)


def test_a_last_line_without_end_is_counted_once(scan):
    scan(LINES[:-1])
    result = scan(LINES + log_line(7))

    assert (1, 51) == (result.new_lines, scan.requests)


def test_a_line_of_ten_megabytes_is_counted_and_passed(scan):
    result = scan(b"x" * (10 * MAX_LINE_BYTES) + b"\n" + LINES)

    assert (1, 50) == (result.progress.unread, result.progress.requests)


def test_a_damaged_archive_keeps_what_was_read(scan):
    result = scan(gzip.compress(LINES * 40)[:-20])

    assert result.problem
    assert result.progress.requests > 0
    assert scan.saved


def test_a_log_of_another_format_names_the_formats_and_the_line(scan):
    reason = scan(b"2026/11/30 [error] no\n" * 3).reason

    assert "Formats tried: nginx" in reason
    assert "Line 1 is '2026/11/30 [error] no'" in reason


@pytest.mark.parametrize("name", ["missing.log", "."])
def test_a_file_that_cannot_be_read_is_a_result(scan, name):
    assert scan(name=name).problem


def test_zstd_is_named_with_its_fix(scan):
    assert "zstd -d" in scan(b"\x28\xb5\x2f\xfd....").problem


def test_a_byte_order_mark_is_skipped(scan):
    data = b"\xef\xbb\xbf#Fields: cs-method cs-uri-stem sc-status\r\nGET /a 200\r\n"

    assert (1, 0) == (scan(data).progress.requests, scan().progress.unread)


def test_the_same_log_given_twice_is_counted_once(scan):
    scan(LINES)
    scan(LINES, "copy.log")

    assert 50 == scan.requests


def test_an_empty_log_is_fine(scan):
    assert ("", 0) == (scan(b"").reason, scan.requests)


def test_counts_and_place_are_saved_in_steps(scan, monkeypatch):
    monkeypatch.setattr(module, "LINES_PER_STEP", 20)
    scan(LINES)

    assert [20, 40, 50] == [LINES[:offset].count(b"\n") for offset in scan.saved]
