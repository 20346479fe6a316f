"""A Django site with a login: `python django_site.py PORT FOLDER`, settings by the environment.

Made as its documentation says: django.contrib.auth and django.contrib.sessions, and nothing of ours.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
LIFETIME_S = int(os.environ.get("LIFETIME_S", "1209600"))

settings.configure(
    SECRET_KEY=os.environ["SECRET"],
    SECRET_KEY_FALLBACKS=os.environ.get("FORMER_SECRETS", "").split(),
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FOLDER / "django.db",
            "OPTIONS": {"timeout": 20},
        }
    },
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    SESSION_ENGINE=os.environ.get("SESSION_ENGINE", "django.contrib.sessions.backends.db"),
    SESSION_COOKIE_AGE=LIFETIME_S,
    SESSION_SAVE_EVERY_REQUEST=os.environ.get("SLIDING") == "1",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick: of a test
)
django.setup()

from django.contrib.auth import authenticate, login, logout, update_session_auth_hash  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


@csrf_exempt
def log_in(request):
    user = authenticate(request, username=request.POST["user"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=403)
    login(request, user)
    return HttpResponse("in")


@csrf_exempt
def log_out(request):
    logout(request)
    return HttpResponse("out")


def me(request):
    if not request.user.is_authenticated:
        return JsonResponse({"id": None}, status=401)
    roles = sorted(request.user.groups.values_list("name", flat=True))
    return JsonResponse({"id": str(request.user.pk), "name": request.user.username, "roles": roles})


@csrf_exempt
def change(request):
    """What an administrator, or the user elsewhere, does: the form says to whom and what."""
    user = User.objects.get(username=request.POST["user"])
    if "password" in request.POST:
        user.set_password(request.POST["password"])
    user.is_active = request.POST.get("active", "1") == "1"
    user.save()
    if "grant" in request.POST:
        user.groups.add(Group.objects.get_or_create(name=request.POST["grant"])[0])
    if "revoke" in request.POST:
        user.groups.remove(*Group.objects.filter(name=request.POST["revoke"]))
    return HttpResponse("changed")


@csrf_exempt
def own_password(request):
    request.user.set_password(request.POST["password"])
    request.user.save()
    update_session_auth_hash(request, request.user)
    return HttpResponse("changed")


def visit(request):
    """Somebody who is not signed in gets a session too."""
    request.session["seen"] = "Zoë" * 300
    return HttpResponse("seen")


def remember(request):
    answer = HttpResponse("kept")
    answer.set_signed_cookie("who", request.GET["id"])
    return answer


def expires_at(request):
    """A session with an end of its own, as `set_expiry` makes it."""
    seconds = request.GET.get("seconds")
    request.session.set_expiry(int(seconds) if seconds else datetime(2099, 1, 1, tzinfo=UTC))
    return HttpResponse("set")


def token(request):
    return HttpResponse(get_token(request))


def guarded(request):
    return HttpResponse("accepted")


urlpatterns = [
    path("login", log_in),
    path("logout", log_out),
    path("me", me),
    path("change", change),
    path("own-password", own_password),
    path("visit", visit),
    path("remember", remember),
    path("expires", expires_at),
    path("token", token),
    path("guarded", guarded),
]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def main():
    call_command("migrate", verbosity=0)
    for each in os.environ["USERS"].split():
        if not User.objects.filter(username=each).exists():
            User.objects.create_user(each, password="secret of " + each)
    make_server("127.0.0.1", PORT, get_wsgi_application(), Server, Quiet).serve_forever()


if __name__ == "__main__":
    main()
