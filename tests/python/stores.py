"""Where a server keeps journal, views and directory: in files of SQLite, or in a database of PostgreSQL.

All tests of a run have the same kind of store, which `--store` says. Each server has one of its own.
"""

import itertools
import os
import sqlite3
import subprocess

import pytest

KINDS = ("sqlite", "postgres")
PARTS = ("journal", "views", "directory")
# As for the tests in Rust: a server on which databases may be made.
VARIABLE = "MAYFLY_TEST_POSTGRES"
PATIENCE_S = 60

_counter = itertools.count(1)
_kind = KINDS[0]
_databases = []


def use(kind):
    """All stores that are made from now on are of this kind."""
    global _kind
    if kind == "postgres" and not os.environ.get(VARIABLE):
        raise pytest.UsageError(f"export {VARIABLE}=$(scripts/postgres start /tmp/mayfly-postgres)")
    _kind = kind


def make(directory):
    """A store for a server that has this data directory."""
    if _kind == "sqlite":
        return Sqlite(directory)
    _databases.append(Postgres())
    return _databases[-1]


def remove_all():
    """Removes what is not in files of the tests' own directories."""
    while _databases:
        _databases.pop().remove()


class Sqlite:
    """Files in the data directory."""

    # What `mayfly init` is told, and what the configuration says.
    options = ()
    config = ""
    # What must have been written.
    names = {f"{part}.db" for part in PARTS}

    def __init__(self, directory):
        self.directory = directory

    def number(self, part, query):
        """What a query says that gives one number. Only with what both databases understand."""
        with sqlite3.connect(f"file:{self.directory}/{part}.db?mode=ro", uri=True) as database:
            ((number,),) = database.execute(query).fetchall()
            return int(number)

    def written(self):
        """What is stored elsewhere than in the data directory, by where."""
        return {}


class Postgres:
    """A database of its own."""

    names = {f"mayfly_{part}" for part in PARTS}

    def __init__(self):
        self.server = os.environ[VARIABLE]
        self.name = f"mayfly_python_{os.getpid()}_{next(_counter)}"
        self.url = f"{self.server.rsplit('/', 1)[0]}/{self.name}"
        self.options = ("--database", self.url)
        self.config = f'\n[database]\nurl = "{self.url}"\n'
        psql(self.server, f"CREATE DATABASE {self.name} TEMPLATE template0 STRATEGY file_copy")

    def remove(self):
        psql(self.server, f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def number(self, part, query):
        return int(psql(self.url, f"SET search_path = mayfly_{part}", query))

    def written(self):
        """Every table, as its bytes are: in the text form bytes would be shown in hexadecimal."""
        found = {}
        for part in PARTS:
            tables = psql(
                self.url, f"SELECT tablename FROM pg_tables WHERE schemaname = 'mayfly_{part}'"
            ).decode().split()
            if tables:
                found[f"mayfly_{part}"] = b"".join(
                    psql(self.url, f'COPY mayfly_{part}."{table}" TO STDOUT (FORMAT binary)') for table in tables
                )
        return found


def psql(url, *commands):
    """Has a database do something; gives what came of it, without decoration."""
    words = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
    for command in commands:
        words += ["--command", command]
    done = subprocess.run(
        [*words, "--dbname", url], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
