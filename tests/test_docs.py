"""The documents, held to the code: what a person can type, read or be told is written down.

Each test imports what it is about by itself, so that one missing part fails one test.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import click
import pytest

from tests.command_lines import objection_to
from tests.docs_generate import MARKED, PARTS, regenerated

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SKIPPED = {".venv", ".git", "node_modules", "build", "dist", ".pytest_cache", ".overgrow"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts)
)
LIVING_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]  # that one tells of the past
HOUSE_WORDS = [
    "side",
    "legacy",
    "migrated",
    "route",
    "table",
    "revision",
    "decision",
    "upstream",
    "cohort",
    "bucket",
    "exchange",
    "flip",
    "ramp",
    "shadow",
    "control",
    "candidate",
    "difference",
    "problem",
]
COMPLETE_FROM = (
    2  # words: `overgrow flip` names the command, `overgrow flip a legacy` is one to type
)
AVOIDED = ("backend", "origin", "old/new", "config", "handler", "manager")


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def all_text() -> str:
    return "\n".join(path.read_text("utf-8") for path in DOCS.glob("*.md"))


def prose_of(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def code_of(text: str) -> str:
    """What stands in fenced blocks and between backticks."""
    fenced = re.findall(r"^ *```.*?$(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", prose_of(text))
    return "\n".join([*fenced, *inline])


def missing(words: Iterator[str] | list[str], text: str) -> list[str]:
    """The words that do not stand in the text as a whole."""
    return sorted(
        word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)
    )


def schema_fields(schema: object) -> Iterator[str]:
    """Every property name of a JSON Schema, whatever it is nested in."""
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        if isinstance(properties, dict):
            yield from properties
        for value in schema.values():
            yield from schema_fields(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from schema_fields(value)


def commands_of(group: click.Group) -> Iterator[tuple[str, list[str]]]:
    """Every command with the longest name of each of its options; groups may be lazy."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        options = [each for each in command.params if isinstance(each, click.Option)]
        yield name, [max(option.opts, key=len) for option in options]


def section_of(text: str, title: str) -> str:
    """The part of a page below the heading that names a command, up to the next such heading."""
    level = re.search(rf"^(#+) .*\b{re.escape(title)}\b.*$", text, re.MULTILINE)
    if not level:
        return ""
    following = re.search(rf"^#{{1,{len(level[1])}}} ", text[level.end() :], re.MULTILINE)
    return text[level.start() : level.end() + (following.start() if following else len(text))]


def test_every_field_of_routes_yaml_is_documented():
    schema = json.loads((ROOT / "proxy/overgrow/routes.schema.json").read_text("utf-8"))

    assert missing(set(schema_fields(schema)), code_of(text_of("routes-yaml.md"))) == []


def test_every_problem_code_is_documented():
    codes = import_module("overgrow.table.reading.problems").CODES

    assert missing(list(codes), code_of(all_text())) == []


def test_every_error_code_is_documented():
    codes = import_module("overgrow.exchange").FAILURES

    assert missing(list(codes), code_of(all_text())) == []


def test_every_setting_is_documented():
    names = [each.variable or each.flag for each in import_module("overgrow.settings").SETTINGS]

    assert missing(names, code_of(text_of("cli.md"))) == []


def test_every_metric_is_documented():
    constants = {
        node.value
        for path in (ROOT / "proxy/overgrow/observe").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    metrics = [text for text in constants if re.fullmatch(r"overgrow_[a-z_]+", text)]

    # A counter may be declared without its _total, which a scrape adds.
    documented = re.sub(r"_total\b", "", code_of(all_text())) + code_of(all_text())

    assert metrics
    assert missing(metrics, documented) == []


def test_every_command_is_documented_with_its_options():
    main = import_module("overgrow.cli.main").main
    page = text_of("cli.md")

    undocumented = {
        name: missing([option for option in options if option != "--help"], page)
        if section_of(page, name)
        else ["no section"]
        for name, options in commands_of(main)
    }

    assert {name: gaps for name, gaps in undocumented.items() if gaps} == {}


@pytest.mark.parametrize("word", HOUSE_WORDS)
def test_every_house_word_has_its_entry_in_the_glossary(word):
    entries = re.findall(r"^\*\*([^*]+)\*\*", text_of("glossary.md"), re.MULTILINE)

    assert word in [entry.lower() for entry in entries]


@pytest.mark.parametrize("word", AVOIDED)
def test_every_avoided_word_stands_on_an_avoid_line(word):
    lines = re.findall(r"\*Avoid\*:.*?(?=\n\n|\Z)", text_of("glossary.md"), re.DOTALL)

    assert any(word in line for line in lines)


def test_the_glossary_is_in_alphabetical_order():
    entries = re.findall(r"^\*\*([^*]+)\*\*", text_of("glossary.md"), re.MULTILINE)

    assert [pair for pair in pairwise(map(str.lower, entries)) if pair[0] >= pair[1]] == []


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = prose_of(page.read_text("utf-8"))
    titles = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def broken_links(page: Path) -> list[str]:
    """The links of a page that lead nowhere in the tree."""
    text = prose_of(page.read_text("utf-8"))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_internal_link_resolves(page):
    assert broken_links(page) == []


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](gone.md) [b](#one-two) [c](#three) [d](https://x.example)\n")

    assert broken_links(page) == ["gone.md", "#three"]


CITED = re.compile(r"docs/(?P<page>[\w-]+\.md)(?:#(?P<anchor>[\w-]+))?")
SOURCES = [
    path
    for folder in ("proxy", "migrated", "legacy_stub", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def broken_citations(text: str) -> list[str]:
    """Find each `docs/PAGE.md#heading` of a text whose page or heading does not exist."""
    return [
        cited[0]
        for cited in CITED.finditer(text)
        if not (DOCS / cited["page"]).exists()
        or (cited["anchor"] and cited["anchor"] not in anchors_of(DOCS / cited["page"]))
    ]


def test_every_page_and_heading_that_code_cites_exists():
    """Issue 13: the law that code and tests cite stands in docs/, under a heading."""
    broken = [
        f"{path.relative_to(ROOT)}: {cited}"
        for path in SOURCES
        if path != Path(__file__)
        for cited in broken_citations(path.read_text("utf-8"))
    ]

    assert [] == broken


def test_a_citation_of_a_heading_that_is_gone_is_found():
    text = "docs/wire.md#slow-clients, docs/wire.md#no-such-heading and docs/no-such-page.md"

    assert ["docs/wire.md#no-such-heading", "docs/no-such-page.md"] == broken_citations(text)


def test_no_source_cites_a_document_that_is_not_in_docs():
    cited = [
        f"{path.relative_to(ROOT)}"
        for path in SOURCES
        if path != Path(__file__) and re.search(r"\bDESIGN\b", path.read_text("utf-8"))
    ]

    assert [] == cited


def steps_of_the_map() -> list[tuple[int, str, str]]:
    """Give number, file and name of each step of a request, as docs/architecture.md lists them."""
    row = re.compile(r"^\| (\d+) \| \[[^\]]+\]\(\.\./([^)]+)\) \| `([^`]+)` \|", re.MULTILINE)
    return [
        (int(number), file, name) for number, file, name in row.findall(text_of("architecture.md"))
    ]


def test_the_map_of_a_request_numbers_its_steps_in_order():
    numbers = [number for number, _, _ in steps_of_the_map()]

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 15


@pytest.mark.parametrize("step", steps_of_the_map(), ids=lambda step: f"{step[0]} {step[2]}")
def test_a_step_of_the_map_has_its_number_in_the_code(step):
    number, file, name = step
    lines = (ROOT / file).read_text("utf-8").splitlines()
    marked = [at for at, line in enumerate(lines) if f"# Map {number} (" in line]

    assert len(marked) == 1
    assert re.search(rf"(class|def) {name.rpartition('.')[2]}\b", lines[marked[0] + 1])


def test_every_page_of_the_docs_is_in_their_index():
    index = text_of("README.md")

    assert [page.name for page in DOCS.glob("*.md") if f"]({page.name})" not in index] == [
        "README.md"
    ]


LONGEST_SENTENCE = 40  # words
BLOCKS = re.MULTILINE | re.DOTALL


def sentences_of(text: str) -> Iterator[str]:
    """Give the sentences, list items and table cells of a page; code blocks and generated parts left out."""
    text = re.sub(r"^```.*?^```|<!-- generated.*?<!-- end -->|<!--.*?-->", "", text, flags=BLOCKS)
    text = re.sub(r"`[^`]*`", "code", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))
    text = re.sub(r"[\w-]+ \d+\.\d+\.\d+(, )?", "", text)  # lists of versions are no prose
    units = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)|^#.*$|(?<!\\)\|", text, flags=re.MULTILINE)
    for unit in units:
        yield from re.split(r"(?<=[.!?])[)\"*]*\s+", unit.strip())


@pytest.mark.parametrize("page", LIVING_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_of_a_page_is_longer_than_forty_words(page):
    long = [
        sentence
        for sentence in sentences_of(page.read_text("utf-8"))
        if len(re.findall(r"[A-Za-z0-9][\w'-]*", sentence)) > LONGEST_SENTENCE
    ]

    assert [] == long


FILES = re.compile(
    r"`((?:proxy|migrated|tests|docs|deploy|benchmarks|legacy_stub|requirements)/[\w./*-]*)`"
)


def missing_files(text: str) -> list[str]:
    """Find each path of this repository in code spans that does not exist; `*` matches any text."""
    named = [path for path in FILES.findall(text) if "NAME" not in path]
    return [path for path in named if not any(ROOT.glob(path.rstrip("/")))]


@pytest.mark.parametrize("page", LIVING_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page):
    assert [] == missing_files(page.read_text("utf-8"))


def test_a_named_file_that_does_not_exist_is_found():
    assert ["proxy/overgrow/no_such.py"] == missing_files("`proxy/overgrow/no_such.py` `tests/*/`")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_of_the_docs_says_first_who_it_is_for(page):
    title, first = page.read_text("utf-8").split("\n\n")[:2]

    assert ("# ", "For ") == (title[:2], first[:4])


PHRASES = [
    "flask reverse proxy",
    "strangler fig flask",
    "strangler fig pattern",
    "migrate legacy app to flask",
    "migrate one endpoint at a time",
    "move endpoints one at a time",
    "canary release flask",
    "flask reverse proxy canary",
    "sticky canary by cookie",
    "shadow traffic compare responses",
    "traffic mirroring compare responses",
    "mirror post requests",
    "compare old and new api responses",
    "kill switch rollback route",
    "instant rollback to legacy",
    "feature flags alternative",
    "envoy traefik flagger alternatives",
    "scientist diffy alternative",
    "dispatchermiddleware alternative",
    "circuit breaker fallback legacy",
    "websocket proxy flask",
    "server-sent events proxy",
    "gunicorn graceful restart drain",
    "kubernetes readiness probe",
    "prometheus metrics per route",
    "grafana dashboard alerts",
    "too many redirects https trusted proxies",
    "csrf token 400 after flip",
    "421 misdirected request admin",
    "x-forwarded-for trusted proxies",
    "curl canary cookie",
    "json admin api routes",
    "ntlm negotiate kerberos proxy",
    "routes.yaml schema fields",
    "postgresql sqlite evidence",
    "docker image own app wheel",
    "systemd unit socket",
    "nginx tls certificate",
    "caddy trusted_proxies",
    "alb idle timeout",
    "configmap subpath immutable",
    "several replicas history",
    "terminationgraceperiodseconds prestop",
    "502 proxy idle connections",
]


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_searched_phrase_leads_to_a_page(phrase):
    """Issue 13: some section has all words of what a user would type; words are found as beginnings."""
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]
    sections = [
        section
        for page in pages
        for section in re.split(r"^#+ ", page.read_text("utf-8").lower(), flags=re.MULTILINE)
    ]
    words = [re.escape(word) for word in phrase.split()]

    assert [
        section.partition("\n")[0]
        for section in sections
        if all(re.search(rf"(?<![a-z]){word}", section) for word in words)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_verb_that_is_told_exists(page):
    verbs = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    told = re.findall(r"\bmake ([a-z]+)\b", code_of(page.read_text("utf-8")))

    assert set(told) - verbs == set()


def typed_lines_of(block: str) -> list[str]:
    """What is typed in a block: of one with prompts, the rest is output."""
    lines = block.replace("\\\n", " ").splitlines()
    prompted = [line for line in lines if line.lstrip().startswith("$ ")]
    return prompted or lines


def command_lines_of(text: str) -> list[list[str]]:
    """The `overgrow ...` lines of the shell blocks of a page, comments and prompts taken off."""
    blocks = re.findall(r"^```(?:sh|console|bash|shell)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = []
    for line in [line for block in blocks for line in typed_lines_of(block)]:
        start = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*((?:\.venv/bin/)?overgrow .*)", line)
        if start and not re.search(r"[<\[…]|\.\.\.", start[1]):
            words = shlex.split(start[1], comments=True)
            ends = [words.index(each) for each in ("|", ">", "&", "&&", ";") if each in words]
            found.append(words[: min(ends, default=len(words))])
    return found


def inline_commands_of(text: str) -> list[list[str]]:
    """The `overgrow ...` commands inside sentences, those with placeholders to choose from left out."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"`(overgrow [^`]+)`", prose)
    return [shlex.split(command) for command in found if not re.search(r"[<\[…|]|\.\.\.", command)]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_overgrow_command_inside_a_sentence_is_understood(page):
    told = inline_commands_of(page.read_text("utf-8"))
    complete = [line for line in told if len(line) > COMPLETE_FROM]

    wrong = {shlex.join(line): why for line in complete if (why := objection_to(line))}

    assert {line: why for line, why in wrong.items() if "Missing" not in why} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_overgrow_command_that_is_told_is_understood(page):
    told = command_lines_of(page.read_text("utf-8"))

    assert {shlex.join(line): why for line in told if (why := objection_to(line))} == {}


def test_a_told_command_is_found_behind_prompt_setting_and_comment():
    text = "```console\n$ OVERGROW_BIND=x .venv/bin/overgrow flip a legacy  # back\nno\n```\n"

    assert command_lines_of(text) == [[".venv/bin/overgrow", "flip", "a", "legacy"]]


def test_a_command_that_does_not_exist_is_refused():
    assert objection_to(["overgrow", "flop", "orders"]) is not None


def test_an_option_that_does_not_exist_is_refused():
    assert objection_to(["overgrow", "flip", "orders", "legacy", "--gently"]) is not None


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_generated_parts_are_fresh(page):
    text = page.read_text("utf-8")

    assert regenerated(text) == text, "run: make docs"


def test_every_part_that_can_be_generated_stands_in_a_page():
    assert {found[2] for found in MARKED.finditer(all_text())} == set(PARTS)


def test_the_changelog_tells_of_the_version():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert version
    assert f"[{version[1]}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_a_missing_word_is_noticed_even_inside_another():
    assert missing(["legacy-open", "open"], "`legacy-open`") == ["open"]


def test_fields_are_found_at_any_depth():
    schema = {"properties": {"a": {"items": {"properties": {"b": {}}}}}, "$defs": [{}]}

    assert list(schema_fields(schema)) == ["a", "b"]


def test_a_section_ends_at_the_next_heading_of_its_level():
    text = "## overgrow flip\none\n### more\ntwo\n## overgrow check\nthree\n"

    assert section_of(text, "flip") == "## overgrow flip\none\n### more\ntwo\n"
