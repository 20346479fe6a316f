"""A tutorial as a newcomer follows it: read the pages, type the commands, write the files, in an empty folder.

A page holds fenced blocks. `console`: lines after `$ ` are typed, the rest is what they print. `python`: a
file, named in its first line. `yaml`: a route, which takes the place of the route of that name or comes
last in routes.yaml. `<!-- terminal: NAME, PORT -->` before a console block: it runs on in a terminal of its
own until `<!-- stop: NAME -->`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STEP = re.compile(
    r"(?:^<!-- terminal: (?P<terminal>[\w ]+), (?P<port>\d+) -->\n)?"
    r"^```(?P<kind>console|python|yaml)\n(?P<text>.*?)^```"
    r"|^<!-- stop: (?P<stop>[\w ]+) -->\n",
    re.MULTILINE | re.DOTALL,
)
PATIENCE_S = 60.0
END = "end-of-output"
FIGURES = re.compile(
    r"\bovergrow (status|shadow status|gate|diff|history)\b"
)  # differ each time; may be a moment behind


@dataclass(frozen=True)
class Step:
    """One block or mark of a page."""

    kind: str  # console, terminal, stop, python, yaml
    text: str
    start: int  # where the text stands in the page
    end: int
    name: str = ""  # of a terminal
    port: str = ""


def steps_of(page: str) -> Iterator[Step]:
    """Give what a page has a reader do, in order."""
    for found in STEP.finditer(page):
        if found["stop"]:
            yield Step("stop", found[0], *found.span(), name=found["stop"])
        elif found["terminal"]:
            yield Step(
                "terminal", found["text"], *found.span("text"), found["terminal"], found["port"]
            )
        else:
            yield Step(found["kind"], found["text"], *found.span("text"))


def commands_of(block: str) -> Iterator[tuple[str, str]]:
    """Give each typed command of a console block with the output that the page shows."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = re.match(r"(?:.*\\\n)*.*\n", part)
        assert lines
        yield lines[0].rstrip("\n"), part[lines.end() :]


def is_shown(shown: str, printed: str, command: str) -> bool:
    """Whether a command printed what the page shows; a line `...` stands for any lines."""
    lines = steady(shown, command).splitlines()
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in lines)
    return re.fullmatch(pattern, steady(printed, command)) is not None


def steady(text: str, command: str) -> str:
    """Give an output without what differs at each run."""
    text = re.sub(r"^note: the app has been loading for .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b[0-9a-f]{12}\b", "REVISION", text)
    text = re.sub(r"^(date|via): .*$", r"\1: SOMETHING", text, flags=re.MULTILINE)
    text = re.sub(r"\boverride: \S+|overgrow_id=[0-9a-f]{32}", "TOKEN", text)
    text = re.sub(r"\d+ (s|min|h) ago|\bjust now\b", "AGO", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]*\d( UTC|Z)", "THEN", text)
    text = re.sub(r"^THEN  \S+", "THEN SOMEBODY", text, flags=re.MULTILINE)
    # Open connections, and which sides have rates, depend on the second in which they are asked for.
    text = re.sub(r"^\S+ connections? of at most .*$", "CONNECTIONS", text, flags=re.MULTILINE)
    text = re.sub(r"^SIDE .*?\n\n", "RATES\n\n", text, flags=re.DOTALL | re.MULTILINE)
    if FIGURES.search(command) or "[gate-closed]" in text:
        text = re.sub(r"\b[0-9a-f]{8,16}\b", "GROUP", text)
        text = re.sub(r"[\d.]*\d%?( ms| s)?|(?<= )-(?= |$)", "N", text, flags=re.MULTILINE)
    return re.sub(r"[ \t]+", " ", text)


@dataclass
class Newcomer:
    """Somebody at a keyboard: one shell to type in, terminals in which something runs on."""

    folder: Path  # where the first command is typed
    project: Path  # what the tutorial makes in it
    environment: Mapping[str, str]
    ports: Mapping[str, str]  # of the page -> free ones
    shell: subprocess.Popen[str] = field(init=False)
    terminals: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def take(self, step: Step) -> str:
        """Do one step; the text that the page should show for it."""
        match step.kind:
            case "console":
                typed = commands_of(step.text)
                return "".join(f"$ {each}\n{self.watch(each, shown)}" for each, shown in typed)
            case "terminal":
                self.open_terminal(step)
            case "stop":
                self.close_terminal(step.name)
            case "python":
                self._write_file(step.text)
            case _:
                self._write_route(self._here(step.text))
        return step.text

    def watch(self, command: str, shown: str) -> str:
        """Type a command; what is kept a moment later is asked for again until it is as shown."""
        deadline = time.monotonic() + PATIENCE_S / 2
        while True:
            printed = self.type(command)
            if is_shown(shown, printed, command):
                return shown
            if not FIGURES.search(command) or time.monotonic() > deadline:
                return printed
            time.sleep(0.2)

    def type(self, command: str) -> str:
        """Run a command in the shell and give what it prints."""
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.write(f"{{ {self._here(command)}\n}} </dev/null\necho; echo {END}\n")
        self.shell.stdin.flush()
        lines: list[str] = []
        while (line := self.shell.stdout.readline()) != f"{END}\n":
            assert line, f"the shell ended: {command}"
            lines.append(line)
        printed = "".join(lines).removesuffix("\n")  # of the echo before the mark
        return self._on_the_page(
            printed if printed.endswith("\n") or not printed else f"{printed}\n"
        )

    def open_terminal(self, step: Step) -> None:
        """Run the commands of a block in a terminal, and wait until the last one listens."""
        script = " && ".join(command for command, _ in commands_of(step.text))
        log = (self.folder / f"{step.name}.log").open("wb")
        with log:
            self.terminals[step.name] = subprocess.Popen(
                ["bash", "--norc", "-c", self._here(script)],
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_for(step.name, int(self.ports[step.port]))

    def _wait_for(self, name: str, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.terminals[name].poll() is None, (self.folder / f"{name}.log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / f"{name}.log").read_text())

    def close_terminal(self, name: str) -> None:
        """Press Ctrl-C in a terminal."""
        process = self.terminals.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(PATIENCE_S / 4)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def leave(self) -> None:
        """Close all terminals and the shell."""
        for name in list(self.terminals):
            self.close_terminal(name)
        self.shell.communicate("exit\n", PATIENCE_S)

    def _write_file(self, text: str) -> None:
        named = re.match(r"# (\S+\.py)\n", text)
        assert named, f"the first line of a file names it: {text[:60]}"
        file = self.project / named[1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def _write_route(self, text: str) -> None:
        table = self.project / "routes.yaml"
        named = re.match(r"  - name: (\S+)\n", text)
        assert named, f"a route begins with its name: {text[:60]}"
        item = re.compile(rf"^  - name: {re.escape(named[1])}\n(?:    .*\n)*", re.MULTILINE)
        old = table.read_text()
        new = item.sub(lambda _: text, old) if item.search(old) else old.rstrip("\n") + "\n" + text
        beside = table.with_suffix(".new")
        beside.write_text(new)
        before = self._revision()
        beside.replace(table)
        deadline = time.monotonic() + PATIENCE_S
        while self._revision() in {before, None}:  # a person is slower than the front door
            assert time.monotonic() < deadline, "the front door does not follow the table"
            time.sleep(0.05)

    def _revision(self) -> str | None:
        """Give the revision that all workers run; None while they differ."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['8001']}/readyz") as response:
            told = json.load(response)
        return str(told["revision"]) if told["agreed"] else None

    def _here(self, text: str) -> str:
        return self._put(text, self.ports)

    def _on_the_page(self, text: str) -> str:
        return self._put(text, {free: shown for shown, free in self.ports.items()})

    def _put(self, text: str, ports: Mapping[str, str]) -> str:
        named = "|".join(ports)
        return re.sub(rf"\b({named})\b", lambda found: ports[found[1]], text)
