# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a healthy cluster is expected to be. The argument spec is EXPECTED in module_utils/_health.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.health), with C(durable.temporal.database)."""

    DOCUMENTATION = r"""
options:
  expected_version:
    description: Release of the server that must run, such as V(1.32.2).
    type: str
  expected_history_shards:
    description: Number of history shards that the cluster must have. It is fixed when a cluster first starts; the
      server ignores another number in its configuration.
    type: int
  expected_members:
    description: >-
      How many members of each role must be in the ring, such as V({frontend: 2, history: 3, matching: 2, worker: 2}).
      Needs O(database). Roles that are not named need one member.
    type: dict
    default: {}
"""
