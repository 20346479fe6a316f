"""What `make docs` runs: writes the generated parts of docs/ anew.

A page marks a part with `<!-- generated: NAME -->` and `<!-- end -->`; PARTS says what stands
between them. tests/test_docs.py fails while a part is stale.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from overgrow.admin.api.endpoint import Endpoint
from overgrow.admin.api.endpoints import ENDPOINTS
from overgrow.admin.api.errors import ERRORS
from overgrow.resilience.breaker import policies_as_markdown, transitions_as_markdown
from overgrow.settings import settings_as_markdown
from tests.test_layers import BANDS

ROOT = Path(__file__).resolve().parents[1]
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Rewrite what is stale and say so."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text("utf-8")
        fresh = regenerated(text)
        if fresh != text:
            page.write_text(fresh, "utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    return 0


def regenerated(text: str) -> str:
    """The page with every marked part as it should be."""
    return MARKED.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)


def bands() -> str:
    """The import bands, as tests/test_layers.py enforces them."""
    rows = [
        f"| {unit.band} | `{name}` | {', '.join(f'`{each}`' for each in sorted(unit.libraries)) or '-'} |"
        for name, unit in BANDS.items()
    ]
    return "\n".join(["| band | unit | libraries it may import |", "|---|---|---|", *rows])


def pins() -> str:
    """The direct dependencies and the versions that the requirements pin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = {
        "runtime": project["project"]["dependencies"],
        "migrated": project["dependency-groups"]["migrated"],
        "build": project["dependency-groups"]["build"],
        "dev": [each for each in project["dependency-groups"]["dev"] if isinstance(each, str)],
        "bench": project["dependency-groups"]["bench"],
        "release": [
            each for each in project["dependency-groups"]["release"] if isinstance(each, str)
        ],
        "foreign": project["dependency-groups"]["foreign"],
        "api": project["dependency-groups"]["api"],
        "migration-tools": project["dependency-groups"]["migration-tools"],
        "browser": project["dependency-groups"]["browser"],
    }
    rows = [
        f"| {group} | {name_of(each)} | {pinned(group)[name_of(each)]} |"
        for group, wanted in groups.items()
        for each in wanted
    ]
    return "\n".join(["| group | package | pinned |", "|---|---|---|", *rows])


def api_endpoints() -> str:
    """The endpoints of the admin API and their parameters, as the code declares them."""
    rows = [
        f"| `{each.method} {each.path}` | {parameter_names(each)} | {each.summary} |"
        for each in ENDPOINTS
    ]
    return "\n".join(["| endpoint | parameters | what |", "|---|---|---|", *rows])


def parameter_names(endpoint: Endpoint) -> str:
    """The parameters of an endpoint but those that its path shows; required ones are bold."""
    found = [each for each in endpoint.parameters if endpoint.place_of(each) != "path"]
    return (
        ", ".join(f"**`{each.name}`**" if each.is_required else f"`{each.name}`" for each in found)
        or "-"
    )


def api_errors() -> str:
    """The codes of errors of the admin API."""
    rows = [
        f"| {kind.status} | `{code}` | {kind.meaning} |"
        for code, kind in sorted(ERRORS.items(), key=lambda each: (each[1].status, each[0]))
    ]
    return "\n".join(["| status | code | when |", "|---|---|---|", *rows])


def name_of(requirement: str) -> str:
    """`gunicorn` of `gunicorn>=27.0.1,<28`."""
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else requirement


def pinned(group: str) -> dict[str, str]:
    """The versions in requirements/<group>.txt."""
    text = (ROOT / "requirements" / f"{group}.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[\S+\])?==(\S+)", text, re.MULTILINE))


PARTS: dict[str, Callable[[], str]] = {
    "bands": bands,
    "api-endpoints": api_endpoints,
    "api-errors": api_errors,
    "pins": pins,
    "settings": settings_as_markdown,
    "breaker-states": transitions_as_markdown,
    "breaker-numbers": policies_as_markdown,
}

if __name__ == "__main__":
    sys.exit(main())
