# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the server sees workers poll task queues.

Private to this collection. A task queue is wanted as the module task_queue_info takes it: ``name``, ``namespace``,
``types``, ``identity_pattern``, ``min_pollers``, ``max_pollers``, ``newer_than`` and, for messages, ``candidate``,
``component`` and ``processes``.
"""

from __future__ import annotations

import re
import time
import typing as t
from datetime import datetime, timezone

from ansible_collections.durable.temporal.plugins.module_utils._checks import Check
from ansible_collections.durable.temporal.plugins.module_utils._client import Temporal
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError

# What may pass by itself while a server or a namespace comes up.
PASSING = ("unreachable", "not_temporal", "namespace_not_found", "deadline", "limit")

Row = dict[str, t.Any]


# What the SDK calls a worker, and what own_identity makes.
OURS = re.compile(r"\d+@")
OWN = re.compile(r"\^\(([0-9|]*)\)@")
NOBODY: t.Final[dict[str, t.Any]] = {"min_pollers": 0, "max_pollers": 0, "newer_than": None}


def own_identity(numbers: t.Iterable[int]) -> str:
    """The pattern of the identities that the SDK gives to workers in these processes."""
    return f"^({'|'.join(str(number) for number in numbers if number)})@"


def stray(queue: t.Mapping[str, t.Any], row: Row) -> str:
    """The sentence about workers that poll a queue which they must leave alone."""
    who = ", ".join(poller["identity"] for poller in row["pollers"] if poller["counts"])
    return (
        f"its worker {who} polls the task queue {queue['name']} of the live release, although TEMPORAL_TASK_QUEUE names "
        f"another one. It was ended at once; until then it may have done tasks of running workflows. Let the program "
        "read TEMPORAL_TASK_QUEUE, or set candidate: false for the application, so that it is tried only when it is live"
    )


def row_for(queue: t.Mapping[str, t.Any], kind: str, pollers: t.Sequence[Row], now: float) -> Row:
    """Judge one task queue and type.

    :param pollers: as the server lists them: ``identity``, ``last_access`` and more.
    :param now: seconds since the epoch.
    """
    pattern, since = queue["identity_pattern"] or "", queue["newer_than"] or 0
    rows = [
        {
            **poller,
            "age_seconds": round(max(0.0, now - poller["last_access"]), 1),
            "counts": bool(re.search(pattern, poller["identity"])) and poller["last_access"] >= since,
        }
        for poller in pollers
    ]
    counted = sum(row["counts"] for row in rows)
    return {
        "name": queue["name"],
        "namespace": queue["namespace"],
        "type": kind,
        "ready": counted >= queue["min_pollers"] and not excess(queue, counted),
        "counted": counted,
        "expected": queue["min_pollers"],
        "pollers": rows,
    }


def excess(queue: t.Mapping[str, t.Any], counted: int) -> bool:
    """Whether there are pollers that must not be."""
    return queue["max_pollers"] is not None and counted > queue["max_pollers"]


def whose(pattern: str) -> str:
    """The identities that a pattern matches, in words when they are those of processes."""
    if not (own := OWN.fullmatch(pattern)):
        return f"whose identity matches '{pattern}'"
    numbers = [number for number in own[1].split("|") if number]
    which = f" ({', '.join(numbers)})" if numbers else ""
    example = numbers[0] if numbers else "4711"
    return f"whose identity begins with the number of one of its processes{which}, such as {example}@HOST"


def complaints(rows: t.Iterable[tuple[t.Mapping[str, t.Any], Row]]) -> str:
    """The sentences about all queues that are not ready; what is a candidate is told as refused, once."""
    sentences, told = [], ""
    for queue, row in rows:
        if row["ready"]:
            continue
        sentence = complaint(queue, row)
        if (candidate := queue.get("candidate") or "") and candidate != told:
            sentence = f"{candidate} was tried beside the live one and refused: {sentence.removeprefix('Refused: ')}"
        sentences.append(sentence)
        told = candidate
    return " ".join(sentences)


def complaint(queue: t.Mapping[str, t.Any], row: Row) -> str:
    """The sentence about a queue that is not ready."""
    if excess(queue, row["counted"]):
        return f"Refused: {stray(queue, row)}."
    conditions = []
    if queue["identity_pattern"]:
        conditions.append(whose(queue["identity_pattern"]))
    if queue["newer_than"]:
        moment = datetime.fromtimestamp(queue["newer_than"], tz=timezone.utc)
        conditions.append(f"that polled since {moment:%H:%M:%S} UTC")
    listed = ", ".join(
        f"{poller['identity']} ({poller['age_seconds']:.0f} s ago{'' if poller['counts'] else ', does not count'})"
        for poller in row["pollers"]
    )
    expected = f"{row['expected']} or more{' ' if conditions else ''}{' and '.join(conditions)}"
    return (
        f"Task queue {row['name']} ({row['type']}) in namespace {row['namespace']}: found {row['counted']} pollers, "
        f"expected {expected}. The server lists {listed or 'none'}."
    )


def check(queue: t.Mapping[str, t.Any], row: Row) -> Check:
    """What was found of a task queue as a check.

    All instances of a program poll the same: one that does not, while others do, hangs.
    """
    component, name = queue["component"], f"polls {row['name']} ({row['type']})"
    own = queue["processes"]
    instances = f" of {sum(map(len, own.values()))} processes" if own else ""
    found, expected = f"{row['counted']} pollers{instances}", f"{row['expected']} or more"
    restart = "Look at its log, and restart it: it runs, and takes no tasks."
    if own and not any(own.values()):
        restart = "None of its processes runs; deploy.yml starts them."
    if not row["ready"]:
        return Check(component, name, "failed", found, expected, f"{complaint(queue, row)} {restart}")
    polling = {
        int(p["identity"].partition("@")[0]) for p in row["pollers"] if p["counts"] and OURS.match(p["identity"])
    }
    for program, pids in own.items():
        if (idle := sorted(set(pids) - polling)) and polling & set(pids):
            said = ", ".join(map(str, idle))
            return Check(component, name, "degraded", f"{found}; not {said} of {program}", expected, restart)
    return Check(component, name, "healthy", found, expected)


def unasked(queues: t.Iterable[t.Mapping[str, t.Any]], error: TemporalError) -> list[Check]:
    """Checks for a server that could not be asked."""
    return [
        Check(q["component"], f"polls {q['name']}", "failed", "no answer", "answers", error.message) for q in queues
    ]


def read(temporal: Temporal, queues: t.Sequence[t.Mapping[str, t.Any]]) -> list[tuple[t.Mapping[str, t.Any], Row]]:
    """Read and judge all task queues; each row comes with the item of the option that it answers."""
    wanted = [(queue, kind) for queue in queues for kind in queue["types"]]
    listed = temporal.pollers([(queue["namespace"], queue["name"], kind) for queue, kind in wanted])
    now = time.time()
    return [(queue, row_for(queue, kind, pollers, now)) for (queue, kind), pollers in zip(wanted, listed, strict=True)]
