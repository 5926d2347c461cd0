# SPDX-License-Identifier: GPL-3.0-or-later
"""Where notifications and audit entries are written: once per workflow and step, with a trace of every attempt.

``python -m approvals.ledger [WORKFLOW_ID]`` shows it, one JSON object per step.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .config import read_config

_SCHEMA = """
CREATE TABLE IF NOT EXISTS workflow_history (
  activity TEXT, workflow_id TEXT, step TEXT, recipient TEXT, text TEXT, time TEXT, release TEXT,
  PRIMARY KEY (activity, workflow_id, step));
CREATE TABLE IF NOT EXISTS attempts (
  activity TEXT, workflow_id TEXT, step TEXT, run_id TEXT, attempt INTEGER, outcome TEXT, time TEXT, release TEXT);
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (activity, workflow_id, step);
"""
_REPORT = """
SELECT a.activity, a.workflow_id, a.step, e.recipient, e.text, e.time, e.release, count(*) AS attempts,
  sum(a.outcome = 'failed') AS failed, sum(a.outcome = 'repeated') AS repeated
FROM attempts a LEFT JOIN workflow_history e USING (activity, workflow_id, step)
WHERE :workflow_id IS NULL OR a.workflow_id = :workflow_id
GROUP BY a.activity, a.workflow_id, a.step ORDER BY min(a.rowid)
"""


@dataclass(frozen=True)
class Attempt:
    """One attempt of one step."""

    activity: str
    workflow_id: str
    step: str
    run_id: str
    attempt: int
    release: str


class Ledger:
    """A table on this host, shared by its workers."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "approvals.sqlite3"

    def open(self) -> None:
        """Makes what is missing; called once at the start, so that a worker that cannot write does not start."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)

    def write(self, attempt: Attempt, recipient: str, text: str) -> bool:
        """Writes the entry of a step unless it is there; True when it was not, and both leave their trace."""
        with self._transaction() as database:
            key = (attempt.activity, attempt.workflow_id, attempt.step)
            entry = (*key, recipient, text, _now(), attempt.release)
            new = (
                database.execute("INSERT OR IGNORE INTO workflow_history VALUES (?, ?, ?, ?, ?, ?, ?)", entry).rowcount
                == 1
            )
            self._trace(database, attempt, "done" if new else "repeated")
            return new

    def failed(self, attempt: Attempt) -> None:
        """Leaves the trace of an attempt that did nothing."""
        with self._transaction() as database:
            self._trace(database, attempt, "failed")

    def report(self, workflow_id: str | None = None) -> list[dict[str, Any]]:
        """Every step in the order of its first attempt, with the number of attempts, failed and repeated ones."""
        with closing(self._connect()) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(_REPORT, {"workflow_id": workflow_id})]

    def _trace(self, database: sqlite3.Connection, attempt: Attempt, outcome: str) -> None:
        database.execute(
            "INSERT INTO attempts VALUES (:activity, :workflow_id, :step, :run_id, :attempt, :outcome, :time, :release)",
            {**asdict(attempt), "outcome": outcome, "time": _now()},
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(closing(self._connect()))
            stack.enter_context(database)
            database.execute("BEGIN IMMEDIATE")
            yield database

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30, isolation_level=None)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    for row in Ledger(read_config().data_directory).report(sys.argv[1] if len(sys.argv) > 1 else None):
        print(json.dumps(row))
