"""A Flask site with Flask-Login: `python flask_site.py PORT FOLDER`, settings by the environment."""

import os
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path

from flask import Flask, jsonify, request, session
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])

app = Flask(__name__)
app.secret_key = os.environ["SECRET"]
app.config["SECRET_KEY_FALLBACKS"] = os.environ.get("FORMER_SECRETS", "").split()
app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(
    seconds=int(os.environ.get("LIFETIME_S", "2678400"))
)
manager = LoginManager(app)


def database():
    connection = sqlite3.connect(FOLDER / "flask.db", timeout=20)
    connection.row_factory = sqlite3.Row
    return connection


class User(UserMixin):
    def __init__(self, row):
        self.id, self.row = row["id"], row

    @property
    def is_active(self):
        return bool(self.row["active"])

    @property
    def roles(self):
        return [role for role in self.row["roles"].split(",") if role]


def user_by(column, value):
    with database() as connection:
        row = connection.execute(f"SELECT * FROM users WHERE {column} = ?", (value,)).fetchone()
    return User(row) if row else None


@manager.user_loader
def load(user_id):
    """As Flask-Login's documentation says: None for whoever may not come in any more."""
    user = user_by("id", user_id)
    return user if user and user.is_active else None


@app.post("/login")
def log_in():
    user = user_by("name", request.form["user"])
    if user is None or user.row["password"] != request.form["password"] or not login_user(user):
        return "no", 403
    session.permanent = request.form.get("permanent") == "1"
    return "in"


@app.post("/logout")
def log_out():
    logout_user()
    return "out"


@app.get("/me")
def me():
    if not current_user.is_authenticated:
        return jsonify(id=None), 401
    return jsonify(id=str(current_user.id), name=current_user.row["name"], roles=current_user.roles)


@app.post("/change")
def change():
    user = user_by("name", request.form["user"])
    roles = set(user.roles) | set(request.form.getlist("grant"))
    roles -= set(request.form.getlist("revoke"))
    with database() as connection:
        connection.execute(
            "UPDATE users SET password = ?, active = ?, roles = ? WHERE id = ?",
            (
                request.form.get("password", user.row["password"]),
                int(request.form.get("active", "1")),
                ",".join(sorted(roles)),
                user.id,
            ),
        )
    return "changed"


@app.get("/visit")
def visit():
    session["seen"] = "Zoë" * 300
    return "seen"


@app.get("/private")
@login_required
def private():
    return "private"


def main():
    with database() as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE,"
            " password TEXT, active INTEGER DEFAULT 1, roles TEXT DEFAULT '')"
        )
        for name in os.environ["USERS"].split():
            connection.execute(
                "INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)",
                (name, "secret of " + name),
            )
    app.run("127.0.0.1", PORT, threaded=True)


if __name__ == "__main__":
    main()
