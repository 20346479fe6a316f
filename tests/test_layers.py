"""The direction of imports, checked with `ast`: the table BANDS is the whole rule.

Nothing is imported to check it, so it holds for code that does not run yet. A unit is what stands
in the table: a module of proxy/overgrow/ or a package below it. The checker itself is tested on small
trees that break each rule, so that it cannot pass for want of looking.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TREES = {"overgrow": "proxy/overgrow", "migrated": "migrated", "legacy_stub": "legacy_stub"}
STDLIB = sys.stdlib_module_names | {"_typeshed"}  # known to type checkers only

WORDS = frozenset(
    {
        "overgrow.connection_login",
        "overgrow.evidence",
        "overgrow.exchange",
        "overgrow.http",
        "overgrow.routing",
    }
)
TOOLS = frozenset(
    {
        "overgrow.app_types",
        "overgrow.durations",
        "overgrow.text",
        "overgrow.transports",
        "overgrow.yaml_file",
        "overgrow.caches",
        "overgrow.files",
        "overgrow.legacy_calls",
        "overgrow.slow_clients",
    }
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What one unit may import besides itself and the standard library."""

    band: str
    libraries: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    forbidden_stdlib: frozenset[str] = frozenset()


# I/O, the clock, chance, threads and the environment come into band 0 by argument or not at all.
IMPURE = frozenset(
    [
        "asyncio",
        "concurrent",
        "contextvars",
        "http.client",
        "http.server",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
    ]
)


def word() -> Unit:
    """Band 0: pure words."""
    return Unit("words", frozenset(), WORDS, IMPURE)


def tool(*libraries: str) -> Unit:
    """What several parts need and none is about: small, named for what it knows; text for people included."""
    return Unit("tools", frozenset(libraries), WORDS | {"overgrow.text"})


def part(*libraries: str) -> Unit:
    """Band 1: the words, the tools and the one library the part is about; never a sibling."""
    return Unit("parts", frozenset(libraries), WORDS | TOOLS)


def face(*libraries: str, beside: frozenset[str] = frozenset()) -> Unit:
    """Band 3: bands 0 to 2 and the public names of overgrow.app; settings are values and may be read."""
    below = {
        name for name, unit in BANDS.items() if unit.band in {"words", "tools", "parts", "path"}
    }
    above = {"overgrow", "overgrow.app", "overgrow.settings"}
    return Unit("faces", frozenset(libraries), frozenset(below | above | beside))


BANDS: dict[str, Unit] = {
    "overgrow.exchange": word(),
    "overgrow.connection_login": word(),
    "overgrow.evidence": word(),
    "overgrow.http": word(),
    "overgrow.routing": word(),
    "overgrow.files": tool(),
    "overgrow.legacy_calls": tool(),
    "overgrow.app_types": tool(),
    "overgrow.transports": tool(),
    "overgrow.durations": tool(),
    "overgrow.text": tool(),
    "overgrow.caches": tool(),
    "overgrow.slow_clients": tool(),
    "overgrow.yaml_file": tool("yaml"),
    "overgrow.table": part(),
    "overgrow.forwarding": part("httpx", "httptools"),
    "overgrow.wsgi": part(),
    "overgrow.asgi": part("websockets"),
    "overgrow.embedded": part(),
    "overgrow.observe": part("prometheus_client"),
    "overgrow.resilience": part(),
    "overgrow.shadow": part(),
    "overgrow.store": part("sqlalchemy", "alembic"),
    "overgrow.data": part("alembic", "sqlalchemy"),
    "overgrow.app_loader": part("flask", "werkzeug"),
    "overgrow.identity": part("sqlalchemy", "redis", "jwt"),
    "overgrow.inventory": part(),
    "overgrow.notify": part("httpx"),
    "overgrow.telemetry": part("sentry_sdk", "urllib3", "opentelemetry"),
    "overgrow.tracing": part("opentelemetry", "requests"),
    "overgrow.traffic": part(),
    "overgrow.path": Unit("path", frozenset(), WORDS | TOOLS),
}
BANDS |= {
    "overgrow.admin": face("flask", "werkzeug", "markupsafe", "jinja2", "itsdangerous"),
    # `overgrow serve` becomes gunicorn's master, which is what overgrow.server is; `overgrow report` writes a page of
    # overgrow.admin into a file.
    "overgrow.cli": face(
        "click", "dotenv", beside=frozenset({"overgrow.server", "overgrow.admin"})
    ),
    "overgrow.server": face("gunicorn", "uvloop"),
    "overgrow.__main__": face(beside=frozenset({"overgrow.cli"})),  # python -m overgrow
}
ROOTS = (
    "overgrow",
    "overgrow.app",
    "overgrow.settings",
    "overgrow.shadow_service",
    "overgrow.process",
)
ROOT_UNIT = Unit(
    "root", frozenset({"flask", "opentelemetry", "werkzeug"}), frozenset({*BANDS, *ROOTS})
)
BANDS |= dict.fromkeys(ROOTS, ROOT_UNIT)
BANDS |= {
    "migrated": Unit(
        "outside",
        frozenset(
            {
                *("flask", "werkzeug", "markupsafe", "jinja2", "itsdangerous"),
                *("flask_sqlalchemy", "flask_login", "sqlalchemy", "alembic"),
            }
        ),
    ),
    "legacy_stub": Unit("outside"),
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, and where: `names` are what `from x import names` takes, else empty."""

    file: str
    line: int
    unit: str
    module: str
    names: tuple[str, ...] = ()


def unit_of(module: str) -> str:
    """The unit a dotted module of ours belongs to: `overgrow.routing.match` is in `overgrow.routing`."""
    return ".".join(module.split(".")[: 2 if module.startswith("overgrow.") else 1])


def module_of(path: Path, root: Path) -> str:
    """The dotted name of a file below the root."""
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[1:] if parts[0] == "proxy" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _absolute(node: ast.ImportFrom, module: str, *, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = module.split(".")
    base = parents[: len(parents) - node.level + package]
    return ".".join([*base, node.module] if node.module else base)


def _resolved(module: str, name: str, root: Path) -> str:
    """`from overgrow import app` names a module; `from overgrow.app import create_app` does not."""
    top, *rest = module.split(".")
    deeper = root.joinpath(TREES.get(top, top), *rest, name)
    return f"{module}.{name}" if deeper.is_dir() or deeper.with_suffix(".py").is_file() else module


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands: in functions and under TYPE_CHECKING too."""
    module = module_of(path, root)
    unit, file = unit_of(module), str(path.relative_to(root))
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, unit, alias.name)
        elif isinstance(node, ast.ImportFrom):
            target = _absolute(node, module, package=path.name == "__init__.py")
            for alias in node.names:
                yield Import(
                    file, node.lineno, unit, _resolved(target, alias.name, root), (alias.name,)
                )
        elif isinstance(node, ast.Call) and _is_dynamic_import(node):
            yield Import(file, node.lineno, unit, str(node.args[0].value))


def _is_dynamic_import(node: ast.Call) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    literal = (
        bool(node.args)
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    )
    return name in {"import_module", "__import__"} and literal


def objection(found: Import) -> str | None:
    """Why an import is not allowed; None if it is."""
    rule = BANDS.get(found.unit)
    if rule is None:
        return f"{found.unit} has no band yet: add it to BANDS in tests/test_layers.py and to docs/architecture.md"
    top = found.module.partition(".")[0]
    if top in TREES:
        return _objection_to_ours(found, rule)
    if top in STDLIB:
        impure = {found.module, top} & rule.forbidden_stdlib
        return f"band {rule.band} is pure; {found.module} is not" if impure else None
    if top not in rule.libraries:
        allowed = ", ".join(sorted(rule.libraries)) or "the standard library only"
        return f"{found.module} is a library that {found.unit} is not about ({allowed})"
    return None


def _objection_to_ours(found: Import, rule: Unit) -> str | None:
    unit = unit_of(found.module)
    if unit == found.unit:
        return None
    if unit not in rule.units:
        return f"{found.unit} (band {rule.band}) may not import {found.module}"
    private = [name for name in found.names if name.startswith("_")]
    if unit == "overgrow.app" and private:
        return f"{', '.join(private)} is not a public name of overgrow.app"
    return None


def files_of(root: Path) -> list[Path]:
    """The Python files the rules are about."""
    return sorted(path for tree in TREES.values() for path in (root / tree).rglob("*.py"))


def violations(root: Path) -> list[str]:
    """Every import that breaks the table, as `file:line: why`."""
    found = (each for path in files_of(root) for each in imports_of(path, root))
    return [f"{each.file}:{each.line}: {why}" for each in found if (why := objection(each))]


def modules_of(root: Path) -> dict[str, set[str]]:
    """Each module below the root, with the modules of ours that it imports."""
    paths = {module_of(path, root): path for path in files_of(root)}
    return {
        name: {_known(each.module, paths) for each in imports_of(path, root)} & set(paths) - {name}
        for name, path in paths.items()
    }


def _known(module: str, names: Collection[str]) -> str:
    """The module itself, or the one that has it for a name."""
    return module if module in names else module.rpartition(".")[0]


def circles(modules: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others; each circle once."""
    reach = {name: _reached(name, modules) for name in modules}
    found = {
        tuple(sorted({other for other in reach[name] if name in reach[other]} | {name}))
        for name in modules
        if name in reach[name]
    }
    return [list(circle) for circle in sorted(found)]


def _reached(name: str, modules: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [*modules[name]]
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += modules[other]
    return found


def importers(library: str, root: Path) -> set[str]:
    """The files that import a library."""
    found = (each for path in files_of(root) for each in imports_of(path, root))
    return {each.file for each in found if each.module.partition(".")[0] == library}


def unplaced(root: Path) -> list[str]:
    """Units of the tree that the table does not know."""
    return sorted({unit_of(module_of(path, root)) for path in files_of(root)} - set(BANDS))


def test_every_import_points_the_way_the_bands_allow():
    found = violations(ROOT)

    assert found == []


def test_no_modules_import_each_other_in_a_circle():
    found = circles(modules_of(ROOT))

    assert found == []


def test_a_circle_of_modules_is_found_though_one_imports_for_types_only(tmp_path):
    for_types = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from overgrow.path import c"
    )
    files = {
        "proxy/overgrow/path/a.py": "from overgrow.path.b import x",
        "proxy/overgrow/path/b.py": for_types,
        "proxy/overgrow/path/c.py": "def f():\n    from overgrow.path import a",
        "proxy/overgrow/path/d.py": "from overgrow.path import a",
    }

    found = circles(modules_of(tree(tmp_path, files)))

    assert found == [["overgrow.path.a", "overgrow.path.b", "overgrow.path.c"]]


def test_every_module_has_a_band():
    found = unplaced(ROOT)

    assert found == []


def test_httpx_is_imported_by_forwarding_and_the_webhook_alone():
    found = importers("httpx", ROOT)

    parts = ("proxy/overgrow/forwarding/", "proxy/overgrow/notify/")
    assert all(file.startswith(parts) for file in found)


def test_the_checker_sees_the_imports_of_this_project():
    found = [each for path in files_of(ROOT) for each in imports_of(path, ROOT)]

    assert {"overgrow.routing.model", "ipaddress"} <= {each.module for each in found}


def tree(root: Path, files: dict[str, str]) -> Path:
    """A small project below `root`, with the real one's packages to import from."""
    packages = (
        *("routing", "table", "table/reading", "forwarding", "observe", "admin", "cli", "path"),
        *("wsgi", "embedded", "server"),
    )
    blank = {f"proxy/overgrow/{name}/__init__.py": "" for name in packages}
    modules = ("exchange", "app", "settings")
    blank |= {f"proxy/overgrow/{name}.py": "" for name in modules}
    blank |= {
        "proxy/overgrow/__init__.py": "",
        "migrated/__init__.py": "",
        "legacy_stub/__init__.py": "",
    }
    for name, text in (blank | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


BROKEN = [
    pytest.param("proxy/overgrow/exchange.py", "import yaml", id="a word imports a library"),
    pytest.param("proxy/overgrow/routing/match.py", "import time", id="a word reads the clock"),
    pytest.param(
        "proxy/overgrow/routing/match.py",
        "from os import environ",
        id="a word reads the environment",
    ),
    pytest.param("proxy/overgrow/routing/match.py", "import urllib.request", id="a word does I/O"),
    pytest.param(
        "proxy/overgrow/routing/match.py", "from overgrow import table", id="a word imports a part"
    ),
    pytest.param(
        "proxy/overgrow/table/reading/parse.py",
        "import overgrow.observe",
        id="a part imports a sibling",
    ),
    pytest.param(
        "proxy/overgrow/table/reading/parse.py",
        "from ...forwarding import x",
        id="a sibling, relatively",
    ),
    pytest.param(
        "proxy/overgrow/table/reading/parse.py",
        "def f():\n    from overgrow import wsgi",
        id="inside a function",
    ),
    pytest.param(
        "proxy/overgrow/wsgi/server.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from overgrow.path.frontdoor import FrontDoor",
        id="for types only",
    ),
    pytest.param(
        "proxy/overgrow/embedded/mount.py",
        "import importlib\nimportlib.import_module('overgrow.app')",
        id="by name",
    ),
    pytest.param(
        "proxy/overgrow/observe/metrics.py", "import httpx", id="a part imports another's library"
    ),
    pytest.param(
        "proxy/overgrow/observe/metrics.py",
        "from overgrow import settings",
        id="a part reads settings",
    ),
    pytest.param(
        "proxy/overgrow/path/frontdoor.py",
        "from overgrow.forwarding import forward",
        id="the path names a part",
    ),
    pytest.param(
        "proxy/overgrow/path/frontdoor.py", "import gunicorn", id="the path imports a library"
    ),
    pytest.param(
        "proxy/overgrow/admin/app.py", "from overgrow import cli", id="a face imports a face"
    ),
    pytest.param(
        "proxy/overgrow/cli/main.py",
        "from overgrow.app import _assemble",
        id="a face takes a private name",
    ),
    pytest.param(
        "proxy/overgrow/admin/app.py", "import click", id="a face imports another's library"
    ),
    pytest.param("proxy/overgrow/app.py", "import migrated", id="the root names the migrated app"),
    pytest.param(
        "migrated/products.py", "from overgrow.routing import model", id="migrated imports overgrow"
    ),
    pytest.param("migrated/products.py", "import legacy_stub", id="migrated imports the oracle"),
    pytest.param(
        "legacy_stub/__main__.py", "import flask", id="the oracle leaves the standard library"
    ),
    pytest.param(
        "legacy_stub/__main__.py", "from migrated import shop", id="the oracle imports migrated"
    ),
    pytest.param("proxy/overgrow/novelty.py", "import json", id="a module without a band"),
]


@pytest.mark.parametrize(("file", "text"), BROKEN)
def test_a_violation_is_found_with_its_file_and_line(tmp_path, file, text):
    found = violations(tree(tmp_path, {file: text}))

    assert [line.split(": ")[0] for line in found] == [f"{file}:{len(text.splitlines())}"]


SOUND = [
    pytest.param(
        "proxy/overgrow/routing/match.py",
        "from . import model\nimport re",
        id="a word imports its kin",
    ),
    pytest.param(
        "proxy/overgrow/forwarding/x.py",
        "import httpx\nfrom overgrow.routing import x",
        id="library and words",
    ),
    pytest.param(
        "proxy/overgrow/forwarding/headers.py", "from .failures import x", id="within the part"
    ),
    pytest.param(
        "proxy/overgrow/wsgi/request_body.py",
        "from overgrow.wsgi.server import x",
        id="a part of several files",
    ),
    pytest.param(
        "proxy/overgrow/path/frontdoor.py",
        "from overgrow.exchange import Inbound\nimport time",
        id="path and words",
    ),
    pytest.param(
        "proxy/overgrow/cli/main.py",
        "import click\nfrom overgrow.table.editing import flip",
        id="face and part",
    ),
    pytest.param(
        "proxy/overgrow/cli/serve/command.py",
        "from overgrow.app import create_asgi",
        id="face and public name",
    ),
    pytest.param(
        "proxy/overgrow/app.py",
        "from overgrow import admin, path, table",
        id="the root knows everybody",
    ),
    pytest.param(
        "migrated/products.py", "import flask\nimport sqlite3", id="migrated is plain Flask"
    ),
]


@pytest.mark.parametrize(("file", "text"), SOUND)
def test_a_sound_import_is_let_through(tmp_path, file, text):
    found = violations(tree(tmp_path, {file: text}))

    assert found == []


def test_a_package_without_a_band_is_found(tmp_path):
    found = unplaced(tree(tmp_path, {"proxy/overgrow/helpers/__init__.py": ""}))

    assert found == ["overgrow.helpers"]


def test_every_importer_of_a_library_is_found(tmp_path):
    both = {
        "proxy/overgrow/wsgi/server.py": "import httpx",
        "proxy/overgrow/forwarding/b.py": "from httpx import Request",
    }

    assert importers("httpx", tree(tmp_path, both)) == set(both)
