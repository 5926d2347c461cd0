# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the controller, as a person at its shell names them.

Private to this collection.
"""

from __future__ import annotations

import os
import typing as t


def controller_path(path: str) -> str:
    """The absolute path. A relative one begins in the current directory: Ansible itself would begin at the playbook, which
    for users lies inside of the installed collection.
    """
    return os.path.abspath(os.path.expanduser(path))


def missing_file(path: str) -> str:
    """The absolute path that was looked for when there is no such file; else empty."""
    absolute = controller_path(path)
    return "" if os.path.isfile(absolute) else absolute


def missing_directory(path: str) -> str:
    """The absolute path that was looked for when there is no such directory; else empty."""
    absolute = controller_path(path)
    return "" if os.path.isdir(absolute) else absolute


def missing_files(declared: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Artifacts of applications that are not there: as declared → the absolute path that was looked for."""
    paths = {str(a["artifact"]): controller_path(str(a["artifact"])) for a in declared if a.get("artifact")}
    return {artifact: path for artifact, path in paths.items() if not os.path.isfile(path)}
