"""Keeps migrations away from tables that are not ours. `overgrow data guard` wrote this file; edit data.yaml instead.

It needs Alembic and SQLAlchemy alone. env.py replaces its `context` by `guard(context)`. Then `revision --autogenerate`
writes nothing about a table of another owner, or fails and says why; `upgrade` and `downgrade` refuse each operation on
such a table before the database gets it, also with `--sql`. The text of `op.execute` cannot be read here: on SQLite the
database asks this file about each table that a statement changes, on PostgreSQL only a role without rights refuses it.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from alembic.util import CommandError
from sqlalchemy import bindparam, event, text
from sqlalchemy.schema import DropSchema
from sqlalchemy.sql import visitors

LOG = logging.getLogger("alembic.table_guard")

# The tables of data.yaml and their owners: flask changes everything, shared only rows, legacy nothing.
OWNERS: dict[str, str] = {
    "products": "legacy",
    "users": "legacy",
    "orders": "shared",
    "order_lines": "shared",
}

TEMPORARY = "_alembic_tmp_"  # batch mode gives a table this name while it copies it
DEFAULT_SCHEMAS = {"postgresql": "public", "sqlite": "main", "mssql": "dbo"}
CASE_MATTERS = {"postgresql", "oracle"}
ROWS = "rows"  # what a statement changes: rows, or the table itself
TABLE = "table"


class TableNotOurs(CommandError):
    """An operation would change a table that is not the Flask app's."""


class Owners:
    """Who owns which table of one database."""

    def __init__(self, dialect: str, default_schema: str | None, own_table: str) -> None:
        self.default_schema = default_schema or DEFAULT_SCHEMAS.get(dialect)
        self.case_matters = dialect in CASE_MATTERS
        self.own_table = own_table  # where Alembic keeps its version
        self.exact = {self.key(name): owner for name, owner in OWNERS.items()}
        self.folded = {name.casefold(): owner for name, owner in self.exact.items()}

    def key(self, name: str, schema: str | None = None) -> str:
        """Return the name of a table as data.yaml has it: with its schema unless that is the default."""
        if schema is None and "." in name:
            schema, _, name = name.partition(".")
        name = name.removeprefix(TEMPORARY)
        return name if schema in (None, self.default_schema) else f"{schema}.{name}"

    def owner(self, name: str, schema: str | None = None) -> str | None:
        """Return legacy, shared or flask; None if data.yaml does not name the table."""
        key = self.key(name, schema)
        if key in self.exact:
            return self.exact[key]
        folded = self.folded.get(key.casefold())
        return None if folded == "flask" and self.case_matters else folded

    def refusal(self, change: str, name: str, schema: str | None = None) -> str | None:
        """Return why a change of a table is refused; None if it is allowed."""
        owner = self.owner(name, schema)
        if owner == "flask" or (owner == "shared" and change == ROWS) or name == self.own_table:
            return None
        key = self.key(name, schema)
        if owner is None:
            return (
                f"data.yaml does not say who owns the table {key}. If it is ours, write `{key}: {{owner: flask}}` under"
                " `tables` there, then run: overgrow data guard"
            )
        what = f"its {change}" if change == ROWS else "it"
        whose = (
            "legacy and the Flask app share it" if owner == "shared" else f"its owner is {owner}"
        )
        return (
            f"the table {key} is not ours: {whose}, says data.yaml. No migration of the Flask app may change {what}:"
            " take the operation out, and let the owner make the change"
        )


def tables_of(construct: Any) -> Iterator[tuple[str, str | None, str]]:
    """Yield what a statement changes (rows or the table), schema and name; nothing for plain text."""
    if hasattr(construct, "table_name"):  # Alembic's own ALTER TABLE
        for name in (construct.table_name, getattr(construct, "new_table_name", None)):
            if name:
                yield TABLE, construct.schema, str(name)
    elif getattr(construct, "element", None) is not None:  # DDL of SQLAlchemy
        item = construct.element
        table = getattr(item, "table", item)  # of an index, a constraint, a column
        if getattr(table, "columns", None) is not None and getattr(table, "name", None):
            yield TABLE, table.schema, str(table.name)
    elif hasattr(construct, "get_children"):
        for each in visitors.iterate(construct):
            if getattr(each, "is_dml", False):
                table = changed_table(each)
                yield ROWS, getattr(table, "schema", None), str(getattr(table, "name", table))


def changed_table(statement: Any) -> Any:
    """Return the table of an INSERT, UPDATE or DELETE, also if it has an alias there."""
    return getattr(statement.table, "element", statement.table)


def tables_of_operation(operation: Any) -> Iterator[tuple[str | None, str]]:
    """Yield schema and name of the tables that an operation of autogenerate names."""
    name = getattr(operation, "table_name", None) or getattr(operation, "source_table", None)
    table = getattr(operation, "table", None)
    name = name or getattr(table, "name", None)
    schema = getattr(operation, "schema", None) or getattr(operation, "kw", {}).get("source_schema")
    for each in (name, getattr(operation, "new_table_name", None)):
        if each:
            yield schema, str(each)


def refuse(why: str, what: str = "") -> NoReturn:
    """Raise TableNotOurs with the place in the revision, if one is running."""
    place = ""
    for frame in reversed(traceback.extract_stack()):
        if (
            frame.name in ("upgrade", "downgrade")
            and "alembic" not in frame.filename.split("/")[-2:]
        ):
            place = f"{frame.filename}:{frame.lineno}: "
            break
    raise TableNotOurs(f"{place}{what}{why}.")


def guard(context: Any) -> GuardedContext:
    """Return Alembic's `context` with the guard around it; the one name that env.py needs."""
    return GuardedContext(context)


class GuardedContext:
    """Alembic's `context`, with the guard in `configure` and `run_migrations`."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def configure(self, *args: Any, **options: Any) -> None:
        """Configure the migration context, with the hooks of the guard around those of env.py."""
        hooks = AutogenerateHooks(options, self._owners)
        options["include_name"] = hooks.include_name
        options["include_object"] = hooks.include_object
        options["process_revision_directives"] = hooks.process_revision_directives
        self._context.configure(*args, **options)

    def run_migrations(self, **options: Any) -> None:
        """Run migrations, and refuse what they do to tables of other owners."""
        migration_context = self._context.get_context()
        checks = guarded_offline if migration_context.as_sql else guarded_connection
        with checks(migration_context, self._owners()):
            self._context.run_migrations(**options)

    def _owners(self) -> Owners:
        migration_context = self._context.get_context()
        dialect = migration_context.dialect
        default_schema = None if migration_context.as_sql else dialect.default_schema_name
        return Owners(dialect.name, default_schema, migration_context.version_table)


class AutogenerateHooks:
    """The three hooks of autogenerate, each around the hook that env.py has given."""

    def __init__(self, options: dict[str, Any], owners: Callable[[], Owners]) -> None:
        self._options = dict(options)
        self._owners = owners
        metadata = options.get("target_metadata")
        several = metadata if isinstance(metadata, (list, tuple)) else [metadata]
        self._models = [
            table
            for each in several
            for table in getattr(each, "tables", {}).values()
            if not is_as_in_database(table)
        ]

    def _is_wanted(self, hook: str, *args: Any) -> bool:
        given = self._options.get(hook)
        return given is None or bool(given(*args))

    def include_name(self, name: str | None, kind: str, parents: dict[str, Any]) -> bool:
        """Whether autogenerate looks at a table of the database: ours, or one that has a model."""
        if not self._is_wanted("include_name", name, kind, parents):
            return False
        if kind != "table" or name is None:
            return True
        owners, schema = self._owners(), parents.get("schema_name")
        if owners.owner(name, schema) == "flask":
            return True
        key = owners.key(name, schema)
        return any(owners.key(table.name, table.schema) == key for table in self._models)

    def include_object(
        self, found: Any, name: str | None, kind: str, reflected: Any, other: Any
    ) -> bool:
        """Whether autogenerate compares an object; what only the database has of another owner's table, it does not."""
        if not self._is_wanted("include_object", found, name, kind, reflected, other):
            return False
        table = found if kind == "table" else getattr(found, "table", None)
        if table is None:
            return True
        if is_as_in_database(table):
            return False
        if self._owners().owner(table.name, table.schema) == "flask":
            return True
        if kind == "column" and other is not None and found.primary_key:
            return False  # SQLite says of most keys that they may be null
        return other is not None or not reflected

    def process_revision_directives(
        self, context: Any, revision: Any, directives: list[Any]
    ) -> None:
        """Fail if a new revision would change a table of another owner."""
        if (given := self._options.get("process_revision_directives")) is not None:
            given(context, revision, directives)
        owners = self._owners()
        for script in directives:
            for container in (*script.upgrade_ops_list, *script.downgrade_ops_list):
                refuse_operations(container, owners)


def is_as_in_database(table: Any) -> bool:
    """Whether a model says of itself that it is not to be compared with the database."""
    return bool(getattr(table, "info", {}).get("as_in_database"))


def refuse_operations(container: Any, owners: Owners) -> None:
    """Raise TableNotOurs at the first operation on another owner's table; drop what is said of its comments."""
    for operation in list(container.ops):
        if hasattr(operation, "ops"):
            refuse_operations(operation, owners)
            if not operation.ops:
                container.ops.remove(operation)
            continue
        for schema, name in tables_of_operation(operation):
            if (why := owners.refusal(TABLE, name, schema)) is None:
                continue
            if owners.owner(name, schema) is not None and is_about_comments(operation):
                container.ops.remove(operation)
                break
            hint = (
                "Make the model say what the database has, or give it info={'as_in_database': True}"
            )
            refuse(f"{why}. {hint}", f"{words_of(operation)}: ")


def is_about_comments(operation: Any) -> bool:
    """Whether an operation changes nothing but a comment, which a model seldom repeats."""
    if type(operation).__name__ in ("CreateTableCommentOp", "DropTableCommentOp"):
        return True
    has_changes = getattr(operation, "has_changes", None)
    if has_changes is None or operation.modify_comment is False:
        return False
    others = (operation.modify_type, operation.modify_nullable, operation.modify_name)
    return others == (None, None, None) and operation.modify_server_default is False


def words_of(operation: Any) -> str:
    """Return what an operation does, such as `add column users.age`."""
    kind = re.sub("(?<=[a-z])(?=[A-Z])", " ", type(operation).__name__.removesuffix("Op")).lower()
    table = getattr(operation, "table_name", None) or getattr(operation, "source_table", "")
    column = getattr(operation, "column", None)
    part = getattr(column, "name", None) or getattr(operation, "column_name", None)
    return f"{kind} {table}.{part}" if part else f"{kind} {table}"


@contextmanager
def guarded_offline(migration_context: Any, owners: Owners) -> Iterator[None]:
    """Check each statement before it is written to the SQL of `--sql`."""
    implementation = migration_context.impl
    run = getattr(implementation, "_exec", None)
    if run is None:
        raise CommandError("table_guard.py does not know this version of Alembic: no --sql.")

    def check_and_run(construct: Any, *args: Any, **options: Any) -> Any:
        check(construct, owners)
        return run(construct, *args, **options)

    implementation._exec = check_and_run  # noqa: SLF001 - Alembic has no hook here
    try:
        yield
    finally:
        del implementation._exec  # noqa: SLF001


@contextmanager
def guarded_connection(migration_context: Any, owners: Owners) -> Iterator[None]:
    """Check each statement before the connection of the migrations sends it."""
    connection, listeners = migration_context.connection, Listeners(owners)
    driver = getattr(connection.connection, "driver_connection", None)
    warn_of_rights(connection, owners)
    event.listen(connection, "before_execute", listeners.before_execute)
    event.listen(connection.engine, "before_execute", listeners.before_execute)
    event.listen(connection.engine, "handle_error", listeners.handle_error)
    if isinstance(driver, sqlite3.Connection):
        driver.set_authorizer(listeners.authorize)
    try:
        yield
    finally:
        if isinstance(driver, sqlite3.Connection):
            driver.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
        event.remove(connection.engine, "handle_error", listeners.handle_error)
        event.remove(connection.engine, "before_execute", listeners.before_execute)
        event.remove(connection, "before_execute", listeners.before_execute)


def check(construct: Any, owners: Owners) -> None:
    """Raise TableNotOurs if a statement changes a table of another owner."""
    if isinstance(construct, DropSchema) and construct.cascade:
        refuse(
            f"the schema {construct.element} may have tables that are not ours: drop ours one by one"
        )
    for change, schema, name in tables_of(construct):
        if name == "no_table":  # what Alembic writes when op.drop_index names no table
            refuse("the operation does not say which table it changes: give it table_name")
        if (why := owners.refusal(change, name, schema)) is not None:
            refuse(why)


# What SQLite asks: where the arguments have the table, and what changes.
ASKED = {
    sqlite3.SQLITE_CREATE_TABLE: (0, TABLE),
    sqlite3.SQLITE_DROP_TABLE: (0, TABLE),
    sqlite3.SQLITE_ALTER_TABLE: (1, TABLE),
    sqlite3.SQLITE_CREATE_INDEX: (1, TABLE),
    sqlite3.SQLITE_DROP_INDEX: (1, TABLE),
    sqlite3.SQLITE_CREATE_TRIGGER: (1, TABLE),
    sqlite3.SQLITE_DROP_TRIGGER: (1, TABLE),
    sqlite3.SQLITE_INSERT: (0, ROWS),
    sqlite3.SQLITE_UPDATE: (0, ROWS),
    sqlite3.SQLITE_DELETE: (0, ROWS),
}


class Listeners:
    """The listeners on a guarded connection: for each statement, for what SQLite asks its authorizer, and for errors."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._thread = threading.get_ident()
        self._denied: str | None = None

    def before_execute(self, _connection: Any, construct: Any, *_: Any) -> None:
        """Refuse a statement that changes a table of another owner, also on another connection of the migration."""
        if threading.get_ident() == self._thread:  # the app may use the engine in other threads
            check(construct, self._owners)

    def authorize(self, action: int, *args: str | None) -> int:
        """Answer SQLite: may this statement change this table? What a trigger changes is the trigger's business."""
        if action not in ASKED or args[3] is not None:
            return sqlite3.SQLITE_OK
        at, change = ASKED[action]
        name, schema = str(args[at]), args[0] if action == sqlite3.SQLITE_ALTER_TABLE else args[2]
        if name.startswith("sqlite_") or schema == "temp":
            return sqlite3.SQLITE_OK
        self._denied = self._owners.refusal(change, name, schema)
        return sqlite3.SQLITE_DENY if self._denied else sqlite3.SQLITE_OK

    def handle_error(self, error: Any) -> None:
        """Say whose table it is when the database has refused a statement."""
        cause, statement = error.original_exception, error.statement or ""
        if self._denied is not None:
            why, self._denied = self._denied, None
            refuse(why)
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if state == "42501":  # insufficient privilege
            named = [name for name in OWNERS if re.search(rf"\b{re.escape(name)}\b", statement)]
            whys = [self._owners.refusal(TABLE, name) for name in named]
            told = ". ".join(why for why in whys if why) or "data.yaml does not name the table"
            refuse(f"PostgreSQL refused: {str(cause).strip()}. That is right, as {told}")


# The tables of other owners that the role of a connection may change, for PostgreSQL.
RIGHTS = """
SELECT n.nspname || '.' || c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname IN :names AND (
  pg_has_role(c.relowner, 'USAGE')
  OR n.nspname || '.' || c.relname IN :legacy AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
)
"""


def rights_of_role(connection: Any, owners: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the role of a connection to PostgreSQL, and the tables of other owners that it may change."""
    schema = connection.dialect.default_schema_name or DEFAULT_SCHEMAS["postgresql"]
    others = {
        name if "." in name else f"{schema}.{name}": name
        for name, owner in owners.items()
        if owner != "flask"
    }
    values = {
        "names": sorted(others),
        "legacy": [full for full, name in others.items() if owners[name] == "legacy"],
    }
    query = text(RIGHTS).bindparams(*(bindparam(name, expanding=True) for name in values))
    role = connection.execute(text("SELECT current_user")).scalar_one()
    found = connection.execute(query, values)
    return str(role), sorted(others[name] for (name,) in found)


def warn_of_rights(connection: Any, owners: Owners) -> None:
    """Log which tables of other owners the role of the migrations may change; on PostgreSQL."""
    if connection.dialect.name != "postgresql":
        return
    is_in_transaction = connection.in_transaction()
    role, found = rights_of_role(connection, owners.exact)
    if not is_in_transaction:
        connection.rollback()  # Alembic begins its own
    if found:
        LOG.warning(
            "The role %s may change tables that are not ours: %s. The text of op.execute is not checked: run"
            " migrations as a role without rights on them.",
            role,
            ", ".join(found),
        )
