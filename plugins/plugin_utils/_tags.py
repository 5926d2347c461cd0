# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges ``--tags`` and ``--skip-tags``: Ansible does nothing for a tag that nothing has, and ends well.

Private to this collection. Pure: plain data in, problems out.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, meant, wrong

# Words of Ansible that stand for tags.
_WORDS = ("all", "always", "never", "tagged", "untagged")
# What Molecule adds to every run.
_OF_RUNNERS = re.compile(r"notest|molecule-.*")
Plays = Sequence[Mapping[str, t.Any]]


def parts(plays: Plays) -> list[set[str]]:
    """The tags of each part of a playbook that does something; checks, which always run, are none.

    :param plays: as they are written. A playbook that only imports another one has one part, without tags.
    """
    found = []
    for play in plays:
        if "hosts" in play:
            of_tasks = [_listed(task.get("tags")) for task in play.get("tasks") or ()] or [set()]
            found += [_listed(play.get("tags")) | own for own in of_tasks]
    return [tags for tags in found if "always" not in tags] or [set()]


def _listed(tags: t.Any) -> set[str]:
    return {str(tag).strip() for tag in (tags.split(",") if isinstance(tags, str) else tags or ())}


def check_tags(verb: str, only: Sequence[str], skip: Sequence[str], having: Sequence[set[str]]) -> list[Problem]:
    """Tags that nothing has, and those that leave nothing to do.

    :param only: of ``--tags``; Ansible puts ``all`` when there are none.
    :param skip: of ``--skip-tags``.
    :param having: from :func:`parts`.
    """
    known = sorted(set().union(*having))
    expected = f"tags of {verb}: {', '.join(known)}" if known else f"none, as {verb} has no tags"
    instead = "" if known else f"Leave it out; choose hosts with --limit, and what {verb} does with its options."
    for option, asked in (("--tags", only), ("--skip-tags", skip)):
        if unknown := [tag for tag in asked if tag not in (*known, *_WORDS) and not _OF_RUNNERS.fullmatch(tag)]:
            step = meant(unknown[0], known, 0.6) or instead
            return [wrong(option, ", ".join(map(repr, unknown)), expected, step)]
    if any(_chosen(tags, only, skip) for tags in having):
        return []
    given = " ".join(f"{option} {','.join(v)}" for option, v in (("--tags", only), ("--skip-tags", skip)) if v)
    return [Problem("--tags", f"{given} leaves nothing of {verb} to do; expected {expected}. {instead}".strip())]


def _chosen(tags: set[str], only: Sequence[str], skip: Sequence[str]) -> bool:
    """Whether Ansible runs a task with these tags."""
    words = tags | {"all", "tagged" if tags else "untagged"}
    return bool(words & set(only)) and not words & set(skip)


def imports_only(playbook: Path, plays: Plays, collection: Path) -> bool:
    """Whether a playbook does nothing but import those of this collection, so that no tag is that of somebody's own play.

    :param collection: directory with ``playbooks``.
    """
    for play in plays:
        name = str(next((value for key, value in play.items() if key.endswith("import_playbook")), ""))
        below = (playbook.parent / name).resolve().is_relative_to(collection / "playbooks")
        if not name.startswith("durable.temporal.") and not below:
            return False
    return True
