# library/layout.py
from flask import render_template_string

PAGE = """\
<!doctype html>
<title>{{ title }} - Tool library</title>
<nav><a href="/">Tools</a> <a href="/suggestions">Suggestions</a> <a href="/account">My account</a></nav>
<h1>{{ title }}</h1>
CONTENT
"""


def page(title, content, **values):
    return render_template_string(PAGE.replace("CONTENT", content) + "\n", title=title, **values)
