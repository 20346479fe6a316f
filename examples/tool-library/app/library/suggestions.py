# library/suggestions.py
import hmac
import secrets

from flask import Blueprint, redirect, request, session

from library.data import database, rows
from library.layout import page

pages = Blueprint("suggestions", __name__)

FORM = """\
<ul>
{% for each in suggestions %}<li>{{ each.name }}: {{ each.reason }}</li>
{% endfor %}</ul>
<form method="post"><input type="hidden" name="token" value="{{ token }}">\
<input name="name" required><input name="reason"><button>Suggest</button></form>"""
INSERT = "INSERT INTO suggestions (name, reason) VALUES (?, ?)"


@pages.get("/suggestions")
def show_suggestions():
    token = session.setdefault("token", secrets.token_hex(16))
    found = rows("SELECT name, reason FROM suggestions ORDER BY id")
    return page("Suggestions", FORM, suggestions=found, token=token)


@pages.post("/suggestions")
def add_suggestion():
    expected = session.get("token", secrets.token_hex(16)).encode()
    if not hmac.compare_digest(expected, request.form.get("token", "").encode()):
        return page("Form expired", "<p>Please open the form again.</p>"), 400
    name = request.form.get("name", "").strip()
    if not name:
        return page("Suggestions", "<p>Please name a tool.</p>"), 422
    database().execute(INSERT, (name, request.form.get("reason", "")))
    database().commit()
    return redirect("/suggestions", 303)
