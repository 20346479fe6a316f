import errno
import os
import stat
import threading

import pytest

from overgrow.admin.app import create_admin
from overgrow.admin.failed_logins import WrongTokens
from overgrow.admin.sessions import (
    ROUNDS,
    end_session,
    find_session,
    is_session_ended,
    is_valid_session,
    new_session,
    session_key,
    signing_key,
)
from overgrow.routing.model import Legacy, RouteTable
from tests.disk import came_whole, disk_calls
from tests.locking import who_does_not_wait
from tests.unit.admin.admin_view import View

KEY = b"a key"
NOW_S = 2_000_000_000


@pytest.fixture
def view(tmp_path):
    return View(tmp_path, RouteTable("abc", Legacy("http://127.0.0.1:9"), ()), token="s3cret")


def worker(view):
    """A client of one worker's admin app, which keeps no cookies by itself."""
    return create_admin(view, now=lambda: NOW_S).test_client(use_cookies=False)


def log_in(view) -> str:
    """The cookie of a new session."""
    answer = worker(view).post("/login", data={"token": "s3cret"})
    return answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]


def status(view, *cookies: str) -> int:
    """What a worker answers to whoever has these cookies of the session's name."""
    header = "; ".join(f"overgrow_admin={cookie}" for cookie in cookies)
    return worker(view).get("/api/routes", headers={"Cookie": header}).status_code


def log_out(view, *cookies: str):
    header = {"Cookie": "; ".join(f"overgrow_admin={cookie}" for cookie in cookies)}
    page = worker(view).get("/", headers=header).text
    form = page.partition('name="csrf" value="')[2].partition('"')[0]
    return worker(view).post("/logout", data={"csrf": form}, headers=header)


def test_sessions_of_one_second_differ_and_end_apart(view):
    first, second = log_in(view), log_in(view)
    log_out(view, first)

    assert first != second
    assert [401, 200] == [status(view, first), status(view, second)]


def test_a_copied_cookie_is_worth_nothing_after_logout_in_any_worker(view):
    cookie = log_in(view)
    before = status(view, cookie)
    answer = log_out(view, cookie)

    assert (200, 303, 401) == (before, answer.status_code, status(view, cookie))


@pytest.mark.parametrize(
    "tossed",
    [
        pytest.param("junk", id="junk"),
        pytest.param("v3.9999999999." + "a" * 32 + ".." + "b" * 64, id="one that looks like ours"),
        pytest.param('"quoted', id="a quote that does not end"),
        pytest.param("", id="empty"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_second_cookie_of_the_name_locks_nobody_out(view, tossed, first):
    mine = log_in(view)
    cookies = (tossed, mine) if first else (mine, tossed)

    assert status(view, *cookies) == 200
    assert log_out(view, *cookies).status_code == 303
    assert status(view, *cookies) == 401


def test_a_login_works_on_a_full_disk_in_all_workers(view, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    cookie = log_in(view)

    assert status(view, cookie) == 200
    assert not (view.state / "secret").exists()


def test_a_logout_that_cannot_be_kept_says_so(view):
    cookie = log_in(view)
    (view.state / "ended").touch()  # no folder can be made there
    answer = log_out(view, cookie)

    assert answer.status_code == 503
    assert "a copy of its cookie is valid until it expires" in answer.text
    assert "overgrow_admin=;" in answer.headers["Set-Cookie"]


def test_a_state_folder_that_does_not_answer_is_said_and_opens_nothing(view, monkeypatch):
    cookie = log_in(view)
    answers = threading.Event()
    real = os.lstat

    def hanging(path, *args, **kwargs):
        if "ended" in str(path):
            answers.wait(60)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "lstat", hanging)
    monkeypatch.setattr("overgrow.admin.sessions.ANSWER_S", 0.01)
    try:
        assert [status(view, cookie) for _ in range(3)] == [503] * 3
    finally:
        answers.set()


def test_what_has_run_out_is_forgotten(tmp_path):
    end_session(tmp_path, new_session("s3cret", KEY, 50), 10)
    later = new_session("s3cret", KEY, 200)
    end_session(tmp_path, later, 100)

    assert [path.name.partition(".")[0] for path in (tmp_path / "ended").iterdir()] == ["200"]
    assert is_session_ended(tmp_path, later)


def test_a_new_secret_ends_what_was_signed_with_the_old_one(tmp_path):
    cookie = new_session("s3cret", session_key(tmp_path, "s3cret"), 1000)
    before = find_session([cookie], "s3cret", tmp_path, 10)
    (tmp_path / "secret").unlink()

    assert (before, find_session([cookie], "s3cret", tmp_path, 10)) == (cookie, None)


def test_every_wrong_token_is_counted_when_it_is_given(view):
    for _ in range(3):
        worker(view).post("/login", data={"token": "guess"})
        worker(view).get("/metrics", headers={"Authorization": "Bearer guess"})

    assert view.wrong_tokens == 6


def test_a_session_is_valid_until_it_runs_out():
    cookie = new_session("s3cret", KEY, 1000)

    assert is_valid_session(cookie, "s3cret", KEY, 999.9)
    assert not is_valid_session(cookie, "s3cret", KEY, 1000)


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param(new_session("other", KEY, 1000), id="of another token"),
        pytest.param(new_session("s3cret", b"other", 1000), id="of another key"),
        pytest.param(
            new_session("s3cret", KEY, 1000).replace("1000", "9999"), id="with a later expiry"
        ),
        pytest.param("v2.1000.", id="without a signature"),
        pytest.param("v2.1000.\u20ac", id="not ASCII"),
        pytest.param("v2.\u0661\u0660\u0660\u0660.x", id="other digits"),
        pytest.param("v2." + "9" * 5000 + ".x", id="endless digits"),
        pytest.param("v2", id="a word"),
    ],
)
def test_a_session_nobody_signed_is_none(cookie):
    assert not is_valid_session(cookie, "s3cret", KEY, 10)


def test_the_signing_key_is_made_once_and_for_the_owner_only(tmp_path):
    keys = {signing_key(tmp_path) for _ in range(3)}

    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_workers_that_make_the_key_at_once_agree_on_one(tmp_path):
    keys = []
    threads = [
        threading.Thread(target=lambda: keys.append(signing_key(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (8, 1) == (len(keys), len(set(keys)))


def test_a_key_that_is_there_is_used(tmp_path):
    (tmp_path / "secret").write_bytes(b"mine")

    assert signing_key(tmp_path) == b"mine"


def test_an_empty_secret_signs_nothing_and_is_made_anew(tmp_path):
    (tmp_path / "secret").touch()  # what a power cut can leave

    assert len(signing_key(tmp_path)) == 64
    assert signing_key(tmp_path) == (tmp_path / "secret").read_bytes()


def test_a_full_disk_leaves_no_half_written_secret_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        signing_key(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_may_see_which_sessions_ended(tmp_path):
    end_session(tmp_path, new_session("s3cret", KEY, 200), 100)

    assert (tmp_path / "ended").stat().st_mode & 0o777 == 0o700


def test_a_new_secret_survives_a_power_cut(tmp_path, monkeypatch):
    made = disk_calls(monkeypatch)
    signing_key(tmp_path)

    assert came_whole(made, "secret")


def test_a_key_derived_from_the_token_costs_whoever_guesses():
    assert ROUNDS >= 200_000


def test_wrong_tokens_are_counted_by_one_thread_at_a_time():
    wrong = WrongTokens(lambda: 0.0, lambda: None)
    works = {"noting": lambda: wrong.record("192.0.2.7"), "telling": wrong.log_pending}

    assert who_does_not_wait(wrong._lock, works) == []
