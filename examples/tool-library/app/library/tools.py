# library/tools.py
from flask import Blueprint

from library.data import rows
from library.layout import page

pages = Blueprint("tools", __name__)

LIST = """\
<ul>
{% for tool in tools %}<li><a href="/tools/{{ tool.id }}">{{ tool.name }}</a></li>
{% endfor %}</ul>"""
TOOL = """\
<p>{{ "On the shelf" if tool.available else "Lent out" }}. \
Deposit: {{ "%.2f" | format(tool.deposit_cents / 100) }} EUR</p>"""
MISSING = "<p>There is no such tool.</p>"


@pages.get("/")
def all_tools():
    return page("Tools", LIST, tools=rows("SELECT * FROM tools ORDER BY name"))


@pages.get("/tools/<int:id>")
def one_tool(id):
    found = rows("SELECT * FROM tools WHERE id = ?", id)
    if not found:
        return page("Not found", MISSING), 404
    return page(found[0]["name"], TOOL, tool=dict(found[0]))
