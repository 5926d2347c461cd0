#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_renewal
short_description: Have the provider of secrets make new values
version_added: 0.1.0
description:
  - With O(state=renewed), a provider that makes values itself (V(generated), V(azure_keyvault)) makes new ones. The former ones are kept until
    O(state=settled) says that everybody uses the new ones.
  - While a renewal is not settled, O(state=renewed) makes no further value, so that a run that was interrupted is
    finished with the value that it had begun to hand out.
  - A provider that takes its values from somebody else (V(env)) is refused with what to do instead.
  - Runs on the controller. Values are never shown.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  names:
    description: Names of the secrets.
    type: list
    elements: str
    required: true
  known:
    description: The names that may be given. Any other is an error.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(renewed) makes new values.
      - V(settled) forgets the former ones. Where no renewal has begun, or the provider has none, there is nothing to do.
    type: str
    choices: [renewed, settled]
    required: true
seealso:
  - plugin: durable.temporal.secret
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Make a new password of the database
  durable.temporal.secret_renewal:
    names: [temporal-database-password]
    known: [temporal-database-password, postgres-superuser-password]
    state: renewed

- name: Forget the former one, now that everybody uses the new one
  durable.temporal.secret_renewal:
    names: [temporal-database-password]
    known: [temporal-database-password, postgres-superuser-password]
    state: settled
"""

RETURN = r"""
names:
  description: The secrets that were, or would be, renewed or settled.
  returned: success
  type: list
  elements: str
unfinished:
  description: The secrets whose renewal was begun by an earlier run, and is gone on with.
  returned: success
  type: list
  elements: str
"""
