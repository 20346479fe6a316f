"""Resets by file: each worker sees each of them once."""

from __future__ import annotations

import os

from overgrow.resilience.reset_files import ResetWatcher, request_reset


def test_a_reset_is_seen_once(tmp_path):
    resets = ResetWatcher(tmp_path)
    request_reset(tmp_path, "orders")

    assert [resets.new_requests(), resets.new_requests()] == [["orders"], []]


def test_every_worker_sees_it(tmp_path):
    workers = [ResetWatcher(tmp_path), ResetWatcher(tmp_path)]
    request_reset(tmp_path, "orders")

    assert [worker.new_requests() for worker in workers] == [["orders"], ["orders"]]


def test_the_same_route_can_be_reset_again(tmp_path):
    resets = ResetWatcher(tmp_path)
    file = request_reset(tmp_path, "v1.orders")
    resets.new_requests()
    os.utime(file, (1, 1))  # another time, whatever the clock of the file system

    assert resets.new_requests() == ["v1.orders"]


def test_a_reset_from_before_the_worker_does_not_count(tmp_path):
    request_reset(tmp_path, "orders")

    assert ResetWatcher(tmp_path).new_requests() == []


def test_other_files_and_files_that_went_away_are_passed_over(tmp_path):
    resets = ResetWatcher(tmp_path)
    folder = request_reset(tmp_path, "orders").parent
    (folder / "README").touch()
    (folder / "gone.reset").symlink_to(folder / "nowhere")

    assert resets.new_requests() == ["orders"]


def test_asking_makes_the_folder_and_names_the_file_after_the_route(tmp_path):
    file = request_reset(tmp_path / "state", "orders")

    assert file == tmp_path / "state/breakers/orders.reset"
    assert file.exists()
