"""A person at the admin page, without JavaScript: logs in, puts a route back, everything back, resumes."""

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request

import pytest

from overgrow.table.live import is_killed
from tests.story.front import eventually, running_front
from tests.story.stub import running_stub

TABLE = """\
version: 1
app: migrated:create_app
legacy: {url: "${LEGACY_URL}"}
routes:
  - {name: product-list, path: /products, methods: [GET], target: migrated}
"""
TOKEN = "s3cret-of-ops"


class Browser:
    """A browser as far as forms go: cookies, redirects, and the headers it adds by itself."""

    def __init__(self, port):
        self.home = f"http://127.0.0.1:{port}"
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)
        self._opener.addheaders = [("Accept", "text/html,*/*;q=0.8")]

    def get(self, path="/"):
        with self._opener.open(self.home + path, timeout=60) as answer:
            return answer.read().decode()

    def post(self, path, **form):
        sent = {"Origin": self.home, "Sec-Fetch-Site": "same-origin"}
        data = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.home + path, data, sent)
        with self._opener.open(request, timeout=60) as answer:
            return answer.read().decode()

    def press(self, action, **form):
        """Press the button of a form of the page, as it is now."""
        (found,) = re.findall(
            rf'<form method="post" action="{action}"[^>]*>.*?</form>', self.get(), re.DOTALL
        )
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found))
        return self.post(action, **hidden, **form)


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    folder = tmp_path_factory.mktemp("admin")
    data = folder / "shop.sqlite3"
    with (
        running_stub(data=data) as legacy,
        running_front(
            TABLE, folder, legacy, data=data, workers=2, OVERGROW_ADMIN_TOKEN=TOKEN
        ) as front,
    ):
        yield front


def side_of(front):
    words = dict(part.split("=") for part in front.get("/products")[1]["X-Overgrow"].split("; "))
    return words["side"], words["reason"]


def test_a_person_puts_traffic_back_from_the_page(front):
    browser = Browser(front.admin)
    assert "Admin token" in browser.get()

    browser.post("/login", token=TOKEN)
    browser.press("/flip", route="product-list")
    eventually(lambda: side_of(front) == ("legacy", "target"))
    browser.press("/rollback")
    eventually(lambda: side_of(front) == ("migrated", "target"))
    browser.press("/kill")
    eventually(lambda: side_of(front) == ("legacy", "killed"))
    browser.press("/resume")
    eventually(lambda: side_of(front) == ("migrated", "target"))

    latest = re.findall(r"data-text=\"action\"[^>]*>(\w+)<", browser.get("/flips"))
    assert ["resume", "kill", "rollback", "flip"] == latest[:4]


def test_the_page_after_a_change_ends_where_all_workers_follow(front):
    browser = Browser(front.admin)
    browser.post("/login", token=TOKEN)

    after = browser.press("/kill")
    followed = eventually(
        lambda: "all workers follow it" in browser.get("/?look=1") and front.readyz()["killed"]
    )
    browser.press("/resume")

    assert "Waiting until all workers follow" in after or "all workers follow it" in after
    assert followed


def test_without_a_login_there_are_no_buttons_and_posts_change_nothing(front):
    browser = Browser(front.admin)

    page = browser.post("/kill")

    assert "Admin token" in page
    assert {"/login"} == {
        *re.findall(r'<form method="post" action="([^"]*)"', page + browser.get())
    }
    assert not is_killed(front.config, front.config.parent / ".overgrow")
