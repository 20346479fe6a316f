# library/data.py
import os
import sqlite3

from flask import g


def database():
    if "database" not in g:
        g.database = sqlite3.connect(os.environ.get("LIBRARY_DB", "library.sqlite3"))
        g.database.row_factory = sqlite3.Row
    return g.database


def close_database(_error=None):
    if "database" in g:
        g.pop("database").close()


def rows(sql, *values):
    return database().execute(sql, values).fetchall()
