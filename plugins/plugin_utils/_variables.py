# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables as they are meant: Ansible hands them to plugins as they are written, templates included.

Private to this collection.
"""

from __future__ import annotations

import typing as t

from ansible.template import Templar


def rendered(templar: Templar, variables: t.Mapping[str, t.Any], names: t.Iterable[str]) -> dict[str, t.Any]:
    """The values of those of the names that are variables of the host."""
    return {name: templar.template(variables[name]) for name in names if name in variables}
