"""The site as legacy serves it: behind what packs its answers, as a proxy in front would."""

import gzip
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.story.foreign_shop.settings")

from django.core.wsgi import get_wsgi_application

COMPRESSED = ("text/", "application/json")


def behind_gzip():
    """Make the app, with answers packed for clients that ask for it."""
    site = get_wsgi_application()

    def compressed(environ, start_response):
        head = []

        def started(status, headers, exc_info=None):
            head[:] = [status, headers, exc_info]

        answer = site(environ, started)
        try:
            body = b"".join(answer)
        finally:
            answer.close()
        status, headers, exc_info = head
        if may_be_packed(environ, headers, body):
            body = gzip.compress(body, 6)
            headers = [each for each in headers if each[0].lower() != "content-length"]
            headers += [("Content-Encoding", "gzip"), ("Content-Length", str(len(body)))]
        start_response(status, headers, exc_info)
        return [body]

    return compressed


def may_be_packed(environ, headers, body):
    """Whether a proxy in front would compress an answer."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    asked = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
    return asked and kind.startswith(COMPRESSED) and len(body) > 256
