# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets from Azure Key Vault."""

from __future__ import annotations

DOCUMENTATION = r"""
name: keyvault_secret
short_description: Secrets from Azure Key Vault, each fetched once a run
version_added: 0.1.0
author:
  - The durable.temporal contributors (@durable-temporal)
description:
  - Returns the values of secrets of an Azure Key Vault. All names of one call are asked for together, and everything
    that is missing is reported together.
  - A secret is fetched once a run, however many tasks, hosts and forks use it, and a token once for each identity.
  - What goes wrong is told in a sentence - which secret of which vault, who asked, and what to do. No value is ever
    part of it.
  - Values are plain text - they are never templates - and are registered for masking where ansible-core can do that
    (2.22 and later). Until then a task that uses one needs C(no_log).
extends_documentation_fragment:
  - durable.temporal.keyvault
options:
  _terms:
    description:
      - Names of secrets, or C(name/version), or a reference as in P(durable.temporal.environment#filter), which may
        name another vault.
      - A vault allows letters, digits and hyphens. Underscores and dots become hyphens, so that C(DB_PASSWORD) is
        C(DB-PASSWORD).
    type: list
    elements: str
    required: true
  version:
    description: Version of the secrets that do not name one themselves. The latest when not given.
    type: str
  on_missing:
    description:
      - What to do about secrets that the vault does not have. V(error) fails and names all of them; V(warn) and V(skip)
        leave them out, with and without saying so.
      - A secret that is disabled, expired or forbidden is not missing, and always an error.
    type: str
    default: error
    choices: [error, warn, skip]
  default:
    description: The value of secrets that the vault does not have. Then none is missing.
    type: str
seealso:
  - plugin: durable.temporal.secret
    plugin_type: lookup
  - plugin: durable.temporal.environment
    plugin_type: filter
  - module: durable.temporal.keyvault_secret
"""

EXAMPLES = r"""
- name: One secret, with the identity of the machine
  ansible.builtin.set_fact:
    database_password: "{{ lookup('durable.temporal.keyvault_secret', 'database-password', vault='company-prod') }}"
  no_log: true

- name: Several in one call, one of them in an earlier version
  ansible.builtin.set_fact:
    keys: "{{ query('durable.temporal.keyvault_secret', 'api-key', 'CosmosDbKey/1f0e2d3c4b5a') }}"
  no_log: true
  vars:
    keyvault_vault: company-prod
    keyvault_auth_method: managed_identity

- name: One that need not be there
  ansible.builtin.set_fact:
    licence: "{{ lookup('durable.temporal.keyvault_secret', 'licence', default='') }}"
  no_log: true

# In the inventory, for all roles and applications of the collection:
# secrets_provider: azure_keyvault
# keyvault_vault: company-prod
"""

RETURN = r"""
_raw:
  description: The values, in the order of the names.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.module_utils._secrets import register
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault import AzureKeyVault
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import SPEC, from_options
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Reference, SecretError, parse
from ansible_collections.durable.temporal.plugins.plugin_utils._variables import rendered


class LookupModule(LookupBase):  # type: ignore[misc]
    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        # The configuration takes variables as they are written: a template in one would arrive unrendered.
        given = rendered(self._templar, variables or {}, SPEC)
        self.set_options(var_options=given, direct=kwargs)
        try:
            wanted = [_reference(str(term), self.get_option("version") or "") for term in terms]
            source = AzureKeyVault(from_options(self.get_option))
            found = source.get(wanted)
            register(found.values())
            missing = [r for r in dict.fromkeys(wanted) if r not in found]
            default = self.get_option("default")
            if missing and default is None:
                self._tell(source, missing)
        except SecretError as error:
            raise AnsibleError(str(error)) from None
        return [found.get(r, default) for r in wanted if r in found or default is not None]

    def _tell(self, source: AzureKeyVault, missing: list[Reference]) -> None:
        lines = "\n".join(f"- {reference}: {source.remedy(reference)}." for reference in missing)
        count = "1 secret is" if len(missing) == 1 else f"{len(missing)} secrets are"
        text = f"{count} not in the vault:\n{lines}"
        if self.get_option("on_missing") == "error":
            raise SecretError(text)
        if self.get_option("on_missing") == "warn":
            Display().warning(text)


def _reference(term: str, version: str) -> Reference:
    reference = parse(term)
    if reference is None:
        name, _slash, own = term.partition("/")
        reference = Reference(name, own)
    return reference if reference.version else Reference(reference.name, version, reference.vault)
