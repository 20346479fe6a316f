# library/api.py
from flask import Blueprint

from library.data import rows

api = Blueprint("api", __name__)


@api.after_request
def let_caches_keep_it(response):
    response.headers["Cache-Control"] = "max-age=60"
    return response


def as_tool(row):
    return {**row, "available": bool(row["available"])}


@api.get("/api/tools")
def list_tools():
    return {"tools": [as_tool(row) for row in rows("SELECT * FROM tools ORDER BY name")]}


@api.get("/api/tools/<int:id>")
def get_tool(id):
    found = rows("SELECT * FROM tools WHERE id = ?", id)
    return as_tool(found[0]) if found else ({"error": "not found"}, 404)
