"""A team's Alembic environment in a folder, as `alembic init` and `overgrow data guard` make it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import alembic
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from overgrow.data.declaration import parse_declaration
from overgrow.data.guard.writing import plan_guard

TEMPLATE = Path(alembic.__file__).parent / "templates"
OWNERS = """\
version: 1
database: sqlite:///unused
tables:
  users: {owner: legacy}
  baskets: {owner: shared}
  notes: {owner: flask}
  tags: {owner: flask}
  Order Lines: {owner: legacy}
  audit.events: {owner: legacy}
  orders: {owner: flask, from: order_rows, key: [id]}
"""
LEGACY = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER)",
    "CREATE UNIQUE INDEX ix_users_name ON users (name)",
    "CREATE TABLE baskets (id INTEGER PRIMARY KEY, content TEXT)",
    'CREATE TABLE "Order Lines" (id INTEGER PRIMARY KEY, "Unit Price" INTEGER)',
    "CREATE TABLE order_rows (id INTEGER PRIMARY KEY, customer TEXT)",
    "CREATE TABLE unheard_of (id INTEGER PRIMARY KEY)",
    "INSERT INTO users (id, name) VALUES (1, 'ada')",
)
REVISION = '''\
"""{revision}"""
import sqlalchemy as sa
from alembic import op
from sqlalchemy import text

revision = "{revision}"
down_revision = {down}

users = sa.table("users", sa.column("id"), sa.column("name"), schema=None)
baskets = sa.table("baskets", sa.column("id"), sa.column("content"))


def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
'''


@dataclass
class Team:
    """The folder, the database, and what the team can type."""

    folder: Path
    url: str
    metadata: sa.MetaData = field(default_factory=sa.MetaData)
    revisions: list[str] = field(default_factory=list)

    @property
    def migrations(self) -> Path:
        return self.folder / "migrations"

    @property
    def env(self) -> Path:
        return self.migrations / "env.py"

    @property
    def config(self) -> Config:
        config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
        config.set_main_option("script_location", str(self.migrations).replace("%", "%%"))
        config.set_main_option("sqlalchemy.url", self.url.replace("%", "%%"))
        config.attributes["metadata"] = self.metadata
        return config

    def begin(self, template: str = "generic") -> None:
        """Make the environment."""
        (self.migrations / "versions").mkdir(parents=True)
        for name in ("env.py", "script.py.mako"):
            text = (TEMPLATE / template / name).read_text("utf-8")
            text = text.replace(
                "target_metadata = None", 'target_metadata = config.attributes["metadata"]'
            )
            (self.migrations / name).write_text(text, "utf-8")

    def guard(self, owners: str = OWNERS) -> None:
        """Type `overgrow data guard`."""
        declaration = parse_declaration(owners.encode(), file="data.yaml", env={}).declaration
        for each in plan_guard(self.migrations, declaration):
            each.path.write_text(each.after, "utf-8")

    def run(self, *statements: str) -> None:
        """Let legacy's own role run statements."""
        engine = sa.create_engine(self.url)
        with engine.begin() as connection:
            for each in statements:
                connection.exec_driver_sql(each)
        engine.dispose()

    def tables(self) -> dict[str, list[str]]:
        """The tables of the database and their columns."""
        engine = sa.create_engine(self.url)
        inspector = sa.inspect(engine)
        found = {
            name: [column["name"] for column in inspector.get_columns(name)]
            for name in inspector.get_table_names()
        }
        engine.dispose()
        return found

    def write(self, upgrade: str, downgrade: str = "pass") -> str:
        """Write a revision by hand after the last one."""
        revision = f"r{len(self.revisions)}"
        down = repr(self.revisions[-1]) if self.revisions else "None"
        body = upgrade.replace("\n", "\n    ")
        text = REVISION.format(revision=revision, down=down, upgrade=body, downgrade=downgrade)
        (self.migrations / "versions" / f"{revision}.py").write_text(text, "utf-8")
        self.revisions.append(revision)
        return revision

    def autogenerate(self) -> str:
        """Let Alembic write a revision from the models, and return its text."""
        revision = f"r{len(self.revisions)}"
        script = command.revision(self.config, "auto", autogenerate=True, rev_id=revision)
        self.revisions.append(revision)
        return Path(script.path).read_text("utf-8")

    def upgrade(self, to: str = "head") -> None:
        command.upgrade(self.config, to)

    def downgrade(self, to: str) -> None:
        command.downgrade(self.config, to)

    def upgrade_sql(self) -> str:
        """The SQL of all revisions."""
        config = self.config
        command.upgrade(config, "base:head", sql=True)
        return config.output_buffer.getvalue()
