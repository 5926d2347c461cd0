#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: keyvault_secret
short_description: Fill an Azure Key Vault with the secrets that it does not have yet
version_added: 0.1.0
description:
  - Sets secrets that are missing, with a given value or a random one. A secret that is there is never changed, whatever
    its value is, so that this can run each time.
  - Runs on the controller, once for each host of the play; use C(run_once).
  - How the vault is reached, and as whom, is said by the variables C(keyvault_auth_method) and so on, which are the
    options of P(durable.temporal.keyvault_secret#lookup). The identity needs the role C(Key Vault Secrets Officer).
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
attributes:
  diff_mode:
    support: full
    details: Names of secrets, never values.
options:
  vault:
    description: Name or URL of the vault. When not given, what the variable C(keyvault_vault) says.
    type: str
  secrets:
    description: What the vault must have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the secret. Underscores and dots become hyphens.
        type: str
        required: true
      value:
        description: Its value when it is missing. A random one when not given.
        type: str
  length:
    description: How many characters a random value gets. At least 16.
    type: int
    default: 32
notes:
  - A vault has no way to set a secret only if it is missing. Two runs at the same moment may both find it missing, and
    the later value counts; the earlier one stays as a version.
seealso:
  - plugin: durable.temporal.keyvault_secret
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Make the passwords of a new platform
  durable.temporal.keyvault_secret:
    vault: company-prod
    secrets:
      - name: postgres-superuser-password
      - name: temporal-database-password
  run_once: true

- name: Move a platform with generated passwords to a vault
  durable.temporal.keyvault_secret:
    vault: company-prod
    secrets:
      - name: temporal-database-password
        value: "{{ lookup('durable.temporal.secret', 'temporal-database-password', provider='generated') }}"
  run_once: true
"""

RETURN = r"""
created:
  description: Names of the secrets that were set, or would be in check mode.
  returned: always
  type: list
  elements: str
present:
  description: Names of the secrets that were there.
  returned: always
  type: list
  elements: str
"""
