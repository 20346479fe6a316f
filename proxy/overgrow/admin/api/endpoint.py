"""The classes that describe the API: an endpoint, its parameters, and one call of an endpoint. Nothing here uses Flask.

Rule: an endpoint is declared once. The same declaration reads and checks a request (reading.py), registers the
endpoint (blueprint.py) and describes it in the OpenAPI document (openapi.py).

To add endpoints: write a module with `ENDPOINTS`, a tuple of Endpoint, and name it in endpoints.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from overgrow.admin.api.kinds import Kind
from overgrow.admin.api.schemas import Schema
from overgrow.admin.health import LiveCounters
from overgrow.admin.view import AdminView


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of a request.

    If the path names the value, it is in the path; else it is in the query of a GET or the body of a POST. A
    request must contain every parameter of the path and every parameter with `is_required`. If another
    parameter is absent, it has the value `default`.
    """

    name: str
    doc: str
    kind: Kind
    default: Any = None
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request to an endpoint: a view of the process, the time, the values of all parameters, who asks, and the counters.

    `who` is the author as the history of flips stores it. It contains the name given at the login; without a
    login, it contains the value of the parameter `who`. `is_proven` is False if there is no token and anybody
    on this machine could be the client.
    """

    view: AdminView
    now_s: float
    values: Mapping[str, Any]
    who: str
    counters: LiveCounters
    is_proven: bool = False

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter. If the request does not contain the parameter, return its default."""
        return self.values[name]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path and method of the API.

    `path` is written as in OpenAPI: /api/routes/{name}. `answer` returns the JSON of a 200, or raises ApiError
    or EditRefused. `response` is the schema of that JSON. `errors` are the codes of `answer`'s own errors
    (errors.py); the codes of access, parameters and files belong to every endpoint. A POST with `is_change`
    False only reads, so that a read-only token is enough for it. A request may contain at most one of the
    parameters in `either`. If `needs_either` is True, it must contain exactly one of them.
    """

    method: str
    path: str
    summary: str
    answer: Callable[[ApiCall], Any]
    response: Schema
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[str, ...] = ()
    is_change: bool | None = None
    either: tuple[str, ...] = ()
    needs_either: bool = False

    @property
    def changes(self) -> bool:
        """Whether a request changes something."""
        return self.method == "POST" if self.is_change is None else self.is_change

    def place_of(self, parameter: Parameter) -> str:
        """Return where a parameter is given: path, query or body."""
        if f"{{{parameter.name}}}" in self.path:
            return "path"
        return "query" if self.method == "GET" else "body"

    def parameters_in(self, place: str) -> list[Parameter]:
        """Return the parameters that are given in one place: path, query or body."""
        return [each for each in self.parameters if self.place_of(each) == place]
