"""The codes of problems that only data.yaml and the commands of `overgrow data` have; docs/moving-data.md lists them."""

from __future__ import annotations

CODES: dict[str, str] = {
    "column-absent": "A column that the mapping needs is in neither table, or not in the one that it names.",
    "column-unmapped": "A column of one table gets no value from the other.",
    "expression-syntax": "An expression is not one SQL expression over the columns of one row.",
    "key-unusable": "The key is missing, may be NULL, or is not unique in both tables.",
    "mapping-ambiguous": "The way back of a column is not given, and more than one is possible.",
    "mapping-changed": "A mapping was edited while triggers carry out the former one.",
    "mapping-lossy": "A value would not come back the same from the other table.",
    "owner-conflict": "A table moves from a table that has another owner, or that another table moves from.",
    "owner-syntax": "An owner is legacy, shared or flask.",
    "stage-differs": "The file and the database are at different stages.",
    "stage-early": "A route serves migrated before the stage of its table allows it.",
    "stage-late": "A route can still reach legacy although the legacy table gets no writes.",
    "stage-syntax": "A stage is none, dual_write, shadow, live, ramp_down or complete.",
    "table-absent": "A table is not in the database.",
    "table-name": "A table's or column's name is empty, or cannot be a name in SQL.",
    "triggers-absent": "A trigger that the stage needs is gone or disabled, so writes do not cross.",
    "type-incomparable": "The database cannot compare two values of a column's type.",
    "unknown-table-route": "A table names a route that the route table does not have.",
}
