"""Defines what can be wrong with routes.yaml, in words that help a person to fix it.

A Problem has a stable code, and says where it is, what is wrong and how to fix it. CODES and NOTES are closed
tables: docs/routes-yaml.md repeats them and is tested against them. EditRefused is raised by a flip or rollback
that must not be made.
"""

from __future__ import annotations

from collections.abc import Sequence

from overgrow.yaml_file.problem import Problem

CODES: dict[str, str] = {
    "alias-bomb": "Aliases repeat so much that the file would unfold into a million values.",
    "alias-cycle": "An alias is inside the value that its anchor names.",
    "alias-unknown": "An alias names an anchor that is not defined before it.",
    "allow-syntax": "An item of allow is not written NAME@REVISION.",
    "app-missing": "A route may send clients to migrated, and neither the table nor OVERGROW_APP names an app.",
    "app-rule-missing": "The Flask app has no rule of the same shape for a route it should serve.",
    "app-syntax": "The app is not written MODULE:FACTORY.",
    "boolean-expected": "The value must be true or false.",
    "canary-out-of-range": "A canary lies between 0% and 100%.",
    "cohort-moves-at-login": "cohort.by lists identity beside another source, so a client would change its cohort at login.",
    "cohort-source": "A cohort source is cookie:NAME, header:NAME, ip or identity.",
    "duplicate-key": "A key is given twice in the same mapping.",
    "duplicate-method": "A method is listed twice.",
    "duplicate-name": "Two routes have the same name, written or derived.",
    "duration-syntax": "A duration is a whole number with ms, s, m or h.",
    "file-empty": "The file holds no YAML.",
    "file-missing": "The file cannot be found or read.",
    "file-too-large": "The file is larger than 16 MiB.",
    "file-unseen": "The table or a kill file cannot be checked, so changes to it are not noticed.",
    "group-split": "The members of a group differ in target or canary.",
    "host-syntax": "A host predicate is a host name or *.DOMAIN, without a port.",
    "identity-field": "A field of identity has no meaning for its reader.",
    "identity-query": "A query of identity does not name :id.",
    "invisible-character": "An invisible character is used where YAML requires a blank; in a path it is a note.",
    "irreversible": "reversible: false needs target migrated or gone, and no canary, shadow or fallback.",
    "irreversible-weakened": "Requests that the running table keeps from legacy for good could reach it.",
    "jwks-url": "identity.jwt.jwks is not an http or https URL, or contains a user or a password.",
    "legacy-url": "legacy.url is http://HOST, https://HOST or unix:/PATH, with nothing after it.",
    "list-expected": "The value must be a list.",
    "mapping-expected": "The value must be a mapping of names to values.",
    "merge-key": "YAML merge keys (<<) are not supported.",
    "method-syntax": "A method is an HTTP token in upper case.",
    "multiple-documents": "The file holds more than one YAML document.",
    "name-reserved": "A route is named default, which is the label of requests that no route takes.",
    "name-syntax": "A name consists of a-z, 0-9, dot, underscore and hyphen.",
    "not-utf-8": "The file is not UTF-8 text.",
    "number-expected": "The value must be a whole number.",
    "number-out-of-range": "The number or duration is outside the useful range.",
    "path-and-prefix": "A route has exactly one of path and prefix.",
    "path-syntax": "The path or prefix is not a rule that a request could match.",
    "percent-out-of-range": "A percentage lies between 0% and 100%.",
    "percent-syntax": "A percentage is a number with at most two decimals and the sign %.",
    "predicate-syntax": "The name or condition of a header, query or cookie predicate is malformed.",
    "request-syntax": "A request of tests is a method in upper case, a blank, and a path, a URL or *.",
    "request-test": "A request of tests takes another route, or goes to another side, than expected.",
    "required": "A required field is missing.",
    "route-tie": "Two routes would take the same request and nothing says which comes first.",
    "route-unreachable": "Another route takes every request this one could match.",
    "secret-place": "A secret or store of identity is named by its place: env:NAME, file:/PATH, or dir:/PATH for a store.",
    "shadow-too-wide": "A shadow on every path would copy requests that nobody chose.",
    "size-syntax": "A size is a whole number with kB, MB, GB, KiB, MiB or GiB.",
    "probe-path": "legacy.probe is neither a path nor false.",
    "tab": "YAML does not allow tabs as indentation.",
    "tag": "YAML tags are not supported.",
    "tls-ca": "The certificates of legacy.tls_ca cannot be used.",
    "tls-name": "legacy.tls_name is one host name or address, without port or wildcard.",
    "text-expected": "The value must be text.",
    "too-deep": "Values are nested deeper than any field needs.",
    "trusted-proxy": "A trusted proxy is a network in CIDR form, an address, or the word unix.",
    "unknown-key": "The field does not exist in this version.",
    "unknown-word": "The value is not one of the words this field takes.",
    "value-missing": "The field has no value.",
    "variable-syntax": "${ begins something that is not ${VAR} or ${VAR:-default}.",
    "variable-unset": "A variable is not set in the environment and has no default.",
    "version": "The file must say exactly version: 1.",
    "via-syntax": "legacy.via is not a valid HTTP token for Via.",
    "yaml-syntax": "The file is not well-formed YAML.",
    "yaml-trap": "YAML would read the value as something other than what is written.",
}

NOTES: dict[str, str] = {
    "allow-spent": "A permission in allow is for a table that is no longer running.",
    "app-needs-restart": "The table names another app; workers import it only when they start.",
    "canary-dormant": "The canary has no effect with this target.",
    "foreign-spelling": "A path is written in the syntax of another tool, so it takes only requests with exactly that text.",
    "half-written": "The table was written in place and lacks the end of the running table: workers wait 3 s before they use it.",
    "login-behind-a-pool": "Legacy logs users in per connection, and some users come through a proxy whose connections are shared.",
    "legacy-folds": "Legacy's responses suggest that it takes other spellings for the same path, and the table does not say so.",
    "invisible-character": "A path contains an invisible character.",
    "method-unusual": "A method is not in HTTP's registry of methods.",
    "options-not-listed": "A migrated route with unsafe methods leaves OPTIONS to other routes or legacy.",
    "path-parameters": "A path has ;parameters, which other servers drop, so the route takes no request.",
    "request-test-legacy": "The target of a route sends a request of tests to legacy, though the test expects another side.",
    "reversible-inside": "A reversible route takes requests before an irreversible one does.",
    "shadow-dormant": "The shadow copies nothing with this target or these methods.",
    "trusts-everybody": "Clients can claim any address, scheme and host.",
}

REFUSALS: dict[str, str] = {
    "anchored-value": "The value carries an anchor or comes from an alias, so other places share it.",
    "bad-flip": "A flip goes to legacy, migrated, gone or a percentage.",
    "changed-meanwhile": "Somebody else changed the file between reading and writing.",
    "file-unreadable": "The file, or the table in it, cannot be read.",
    "file-unwritable": "The file or the history cannot be written, for instance on a full disk.",
    "gate-closed": "The route requires more clean comparisons than there are.",
    "group-member": "The route is in a group, whose members move together.",
    "irreversible": "The route's data has left legacy, so it cannot go back.",
    "locked": "Another process holds the lock of the table's folder or of the history.",
    "not-as-written": "The file no longer says what the flip wrote.",
    "nothing-to-undo": "There is no flip left to undo.",
    "read-only": "The file cannot be replaced here.",
    "shape-unknown": "The value is written in a way that cannot be edited safely.",
    "stage-refused": "The stage of the data does not allow this, or not yet; the message says what is first.",
    "stale-revision": "The table is not the one that the request expected: somebody changed it meanwhile.",
    "unknown-group": "No route is in a group of that name.",
    "unknown-route": "No route has that name.",
    "variable-value": "The value comes from the environment.",
    "workers-refuse": "The running workers would reject the table.",
    "workers-silent": "A running worker did not answer in time whether it would accept the table.",
    "would-be-invalid": "The table would not be valid afterwards.",
}


# What to run next after a refusal, unless its own words name something better.
NEXT_COMMANDS: dict[str, tuple[str, ...]] = {
    "anchored-value": ("overgrow routes",),
    "bad-flip": ("overgrow flip --help",),
    "changed-meanwhile": ("overgrow routes", "overgrow history"),
    "file-unreadable": ("overgrow check", "overgrow rollback --all"),
    "file-unwritable": ("overgrow rollback --all",),
    "gate-closed": ("overgrow gate",),
    "group-member": ("overgrow routes",),
    "irreversible": ("overgrow routes",),
    "locked": ("overgrow history", "overgrow rollback --all"),
    "not-as-written": ("overgrow history", "overgrow routes"),
    "nothing-to-undo": ("overgrow history",),
    "read-only": ("overgrow rollback --all",),
    "shape-unknown": ("overgrow routes",),
    "stage-refused": ("overgrow data status",),
    "stale-revision": ("overgrow routes", "overgrow history"),
    "unknown-group": ("overgrow routes",),
    "unknown-route": ("overgrow routes",),
    "variable-value": ("overgrow routes",),
    "workers-refuse": ("overgrow status", "overgrow check"),
    "workers-silent": ("overgrow status",),
    "would-be-invalid": ("overgrow check",),
}


class EditRefused(Exception):
    """A flip, rollback or kill that was refused: why, what to do instead, and problems, if any."""

    def __init__(
        self,
        code: str,
        message: str,
        fix: str = "",
        problems: Sequence[Problem] = (),
        next_commands: Sequence[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.fix, self.problems = code, message, fix, tuple(problems)
        known = NEXT_COMMANDS.get(code, ()) if next_commands is None else next_commands
        self.next_commands = tuple(known)

    def __str__(self) -> str:
        lines = [f"{self.message}. {self.fix}".rstrip() + f" [{self.code}]"]
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])

    def as_json(self) -> dict[str, object]:
        """The refusal as the command line prints it with --json."""
        problems = [problem.as_json() for problem in self.problems]
        return {
            "code": self.code,
            "message": self.message,
            "fix": self.fix,
            "problems": problems,
            "next": list(self.next_commands),
        }
