# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets by name."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: Secrets by name, from the provider that the inventory names
version_added: 0.1.0
author:
  - The durable.temporal contributors (@durable-temporal)
description:
  - Returns the values of secrets. Where they come from is decided once, by the variable C(secrets_provider), and not
    where they are used.
  - All names of one call are asked for in one batch, and everything that is missing is reported together.
  - Values are plain text - they are never templates - and are registered for masking where ansible-core can do that
    (2.22 and later). Until then a task that uses one needs C(no_log).
options:
  _terms:
    description: Names of secrets. Letters, digits, dots, dashes and underscores.
    type: list
    elements: str
    required: true
  provider:
    description:
      - Where secrets come from. With several, the first that has a secret gives it.
      - V(generated) is files on the controller below O(directory); one that does not exist is written once, with a
        random value, also in check mode, because what follows compares with it. To set a value, write the file.
      - V(env) is environment variables of the process that runs Ansible, C(DURABLE_SECRET_) and the name in capitals,
        every other character as an underscore. C(temporal-database-password) is
        C(DURABLE_SECRET_TEMPORAL_DATABASE_PASSWORD).
      - V(azure_keyvault) is an Azure Key Vault, with the variables C(keyvault_vault) and so on, which are the options of
        P(durable.temporal.keyvault_secret#lookup).
      - With V([azure_keyvault, generated]), what the vault has counts, and the rest is generated.
    type: list
    elements: str
    default: [generated]
    vars:
      - name: secrets_provider
    env:
      - name: DURABLE_SECRETS_PROVIDER
  directory:
    description:
      - The directory of the V(generated) provider, on the controller. It is made with mode 0700 and kept out of git.
      - A relative path begins beside the inventory. The default is C(.secrets).
    type: path
    vars:
      - name: secrets_directory
    env:
      - name: DURABLE_SECRETS_DIRECTORY
  length:
    description: How many characters a generated value gets. At least 16.
    type: int
    default: 32
    vars:
      - name: secrets_length
    env:
      - name: DURABLE_SECRETS_LENGTH
notes:
  - Generated values use letters, digits, C(-), C(_) and C(.), and start with a letter, so that they need no quoting in
    env files, URLs and connection strings.
  - Anyone who may read the directory may read the secrets. Keep it on the machine that deploys, and back it up.
seealso:
  - plugin: durable.temporal.keyvault_secret
    plugin_type: lookup
  - plugin: durable.temporal.environment
    plugin_type: filter
"""

EXAMPLES = r"""
- name: One secret
  ansible.builtin.set_fact:
    postgres_superuser_password: "{{ lookup('durable.temporal.secret', 'postgres-superuser-password') }}"
  no_log: true

- name: Several in one batch
  ansible.builtin.set_fact:
    __passwords: "{{ query('durable.temporal.secret', 'temporal-database-password', 'exporter-password') }}"
  no_log: true

# In the inventory: what the pipeline hands over counts, the rest is made up once.
# secrets_provider: [env, generated]
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: str
"""

import os
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import Settings, from_variables
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Reference, SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import (
    KEPT,
    RENEWED,
    SPEC,
    VARIABLES,
    Options,
    directory_of,
    fetch,
    predicted,
    provider,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._variables import rendered


class LookupModule(LookupBase):  # type: ignore[misc]
    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        variables = variables or {}
        # The configuration takes variables as they are written: a template in one would arrive unrendered.
        given = rendered(self._templar, variables, VARIABLES.values())
        self.set_options(var_options=given, direct=kwargs)
        # As it was written: the configuration has a relative path begin in the current directory.
        said = (kwargs.get("directory"), given.get("secrets_directory"), os.environ.get("DURABLE_SECRETS_DIRECTORY"))
        directory = directory_of(next(filter(None, said), ""), variables.get("inventory_dir"))
        names = [str(term) for term in terms]

        def vault() -> Settings:
            return from_variables(rendered(self._templar, variables, SPEC))

        try:
            kept = bool(variables.get(KEPT, True))
            options = Options(directory, self.get_option("length"), write=kept, vault=vault)
            renewed = rendered(self._templar, variables, [RENEWED]).get(RENEWED)
            source = predicted(provider(self.get_option("provider"), options), renewed, options.length)
            found = fetch(source, [Reference(name) for name in names])
        except SecretError as error:
            raise AnsibleError(str(error)) from None
        return [found[Reference(name)] for name in names]
