# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection promises about check mode, diff and repetition."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.attributes); a module that promises less says so under its own C(attributes)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status of a real run, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed, or would change, when in diff mode.
    support: full
  idempotent:
    description: Changes nothing when run again with the same options.
    support: full
  platform:
    description: Systems on which the module can run.
    platforms: linux
    support: full
"""

    # For modules that only read: C(durable.temporal.attributes.info).
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status of a real run, without changing anything.
    support: full
    details:
      - This module only reads.
  diff_mode:
    description: Returns what changed, or would change, when in diff mode.
    support: N/A
    details:
      - This module only reads.
  idempotent:
    description: Changes nothing when run again with the same options.
    support: full
    details:
      - This module only reads. What it returns follows the state of the system.
  platform:
    description: Systems on which the module can run.
    platforms: linux
    support: full
"""
