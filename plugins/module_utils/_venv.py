# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds Python packages for a module: in the running interpreter, or in the collection's virtual environment.

Private to this collection. See docs/decisions/0003-temporal-sdk-on-the-target.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import typing as t
from pathlib import Path

from ansible.module_utils import basic
from ansible.module_utils.common.respawn import has_respawned, respawn_module

DEFAULT_VENV: t.Final = "/opt/durable-temporal/venv"
PIPE_BYTES: t.Final = 65536


def _importable(packages: t.Iterable[str]) -> str | None:
    return next((package for package in packages if importlib.util.find_spec(package) is not None), None)


def provide(packages: t.Sequence[str], venv: str) -> str | None:
    """Make one of some packages importable and return its name, or ``None`` when none can be had.

    A virtual environment of the same Python is put on the path, which costs nothing; with one of another Python the
    module is run again from the start by that interpreter and **this call does not return**: call it before any work.

    :param packages: names of top-level packages, the preferred one first.
    """
    found = _importable(packages)
    if found:
        return found
    libraries = [site for site in Path(venv).glob("lib/python3*/site-packages") if _holds(site, packages)]
    same = [site for site in libraries if site.parent.name == f"python{sys.version_info[0]}.{sys.version_info[1]}"]
    if same:
        # After Ansible's own archive, before the system's packages, which may hold older versions of dependencies.
        sys.path.insert(1, str(same[0]))
        importlib.invalidate_caches()
        return _importable(packages)
    interpreter = Path(venv) / "bin" / "python3"
    # Ansible hands the options over through a pipe that nobody reads yet: more than fits would wait for ever.
    fits = len(basic._ANSIBLE_ARGS or b"") < PIPE_BYTES // 2
    if libraries and interpreter.exists() and fits and not has_respawned():
        respawn_module(str(interpreter))
    return None


def _holds(site: Path, packages: t.Iterable[str]) -> bool:
    return any((site / package / "__init__.py").exists() for package in packages)
