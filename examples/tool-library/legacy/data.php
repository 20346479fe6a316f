<?php
// The data of the tool library: one SQLite file, made with a few rows when it does not exist.
declare(strict_types=1);

const TABLES = <<<'SQL'
CREATE TABLE tools (id INTEGER PRIMARY KEY, name TEXT, deposit_cents INTEGER, available INTEGER);
CREATE TABLE suggestions (id INTEGER PRIMARY KEY, name TEXT, reason TEXT);
CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password TEXT);
CREATE TABLE photos (tool INTEGER PRIMARY KEY, type TEXT, content BLOB);
INSERT INTO tools VALUES
  (1, 'Apple press', 4000, 1), (2, 'Belt sander', 2500, 0), (3, 'Chainsaw <electric>', 6000, 1),
  (4, 'Drain rod', 1000, 1), (5, 'Extension ladder', 3000, 0);
INSERT INTO suggestions VALUES (1, 'Tile cutter', 'Bathrooms & kitchens');
SQL;

function database(): PDO
{
    static $database = null;
    if ($database === null) {
        $file = getenv('LIBRARY_DB') ?: 'library.sqlite3';
        $database = new PDO("sqlite:$file");
        $database->exec('PRAGMA busy_timeout = 5000');
        fill_once($database);
    }
    return $database;
}

function fill_once(PDO $database): void
{
    $database->exec('BEGIN IMMEDIATE');
    if (!$database->query("SELECT 1 FROM sqlite_master WHERE name = 'tools'")->fetch()) {
        $database->exec(TABLES);
        $insert = $database->prepare('INSERT INTO members (name, password) VALUES (?, ?)');
        $insert->execute(['robin', password_hash('hedge', PASSWORD_BCRYPT)]);
    }
    $database->exec('COMMIT');
}

/** All rows of a query. */
function rows(string $sql, array $values = []): array
{
    $statement = database()->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_ASSOC);
}

/** A tool as the JSON API and the pages show it; null when there is none. */
function tool_of(int $id): ?array
{
    $found = rows('SELECT * FROM tools WHERE id = ?', [$id]);
    return $found ? as_tool($found[0]) : null;
}

function as_tool(array $row): array
{
    return ['available' => (bool) $row['available']] + $row;
}
