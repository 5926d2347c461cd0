# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client of a key vault needs to know: which vault, who asks, and how the network is.

Private to this collection. The options of the lookup ``keyvault_secret`` are the one place where these settings come
from, for everything that talks to a vault: see :func:`from_options`. Pure but for that.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Reference, SecretError

LOOKUP = "durable.temporal.keyvault_secret"
METHODS = (
    "auto",
    "managed_identity",
    "workload_identity",
    "oidc",
    "client_secret",
    "client_certificate",
    "cli",
    "default",
)
# Cloud → where its vaults are, and who gives tokens for them.
CLOUDS = {
    "public": ("vault.azure.net", "login.microsoftonline.com"),
    "us_government": ("vault.usgovcloudapi.net", "login.microsoftonline.us"),
    "china": ("vault.azure.cn", "login.chinacloudapi.cn"),
}
_NOT_IDENTITY = {
    *("vault", "vault_suffix", "verify_challenge", "api_version"),
    *("timeout", "retries", "proxy", "ca_certificate", "cache"),
}
_VAULT = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9]){2,23}")
_SECRET = re.compile(r"[A-Za-z0-9-]{1,127}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_AUTHORITY = re.compile(rf"https://(?:{_HOST.pattern}|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """Every option of the lookup that is not about one call. What is secret is not shown."""

    vault: str = ""
    auth_method: str = "auto"
    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_certificate: str = ""
    client_certificate_password: str = field(default="", repr=False)
    federated_token_file: str = ""
    oidc_token: str = field(default="", repr=False)
    oidc_audience: str = "api://AzureADTokenExchange"
    cloud: str = "public"
    vault_suffix: str = ""
    authority: str = ""
    instance_discovery: bool = True
    verify_challenge: bool = True
    api_version: str = ""
    timeout: float = 60
    retries: int = 4
    proxy: str = ""
    ca_certificate: str = ""
    cache: bool = True
    allow_expired: bool = False

    @property
    def identity(self) -> str:
        """Differs whenever the identity may: everything but the vault and the way to it counts."""
        return repr([(each.name, getattr(self, each.name)) for each in fields(self) if each.name not in _NOT_IDENTITY])

    @property
    def hidden(self) -> tuple[str, ...]:
        """The values that nobody may see."""
        return tuple(str(getattr(self, each.name)) for each in fields(self) if not each.repr)

    @property
    def suffix(self) -> str:
        """What the names of vaults end with."""
        return self.vault_suffix.strip(".") or CLOUDS[self.cloud][0]

    @property
    def authority_host(self) -> str:
        return self.authority or CLOUDS[self.cloud][1]

    @property
    def authority_url(self) -> str:
        """Who gives tokens, as the SDK takes it. Without a port, a host is enough.

        :raises SecretError: what was said is neither a host nor the URL of one.
        """
        said = self.authority_host.rstrip("/")
        if _HOST.fullmatch(said):
            return f"https://{said}"
        if not _AUTHORITY.fullmatch(said):
            bare = said.partition("://")[2] or said
            step = f"Write https://{bare}." if _AUTHORITY.fullmatch(f"https://{bare}") else "Correct it."
            raise SecretError(
                f"keyvault_authority is {self.authority!r}; expected the URL of what gives tokens, https://HOST or "
                f"https://HOST:PORT, without a path. {step} It may also come from the environment variable "
                "AZURE_AUTHORITY_HOST."
            )
        return said

    def url(self, reference: Reference) -> str:
        """Where the vault of a reference is.

        :raises SecretError: nobody said which vault, or what was said is none.
        """
        vault = (reference.vault or self.vault).rstrip("/")
        if not vault:
            raise SecretError(
                "keyvault_vault is not set; expected the name or the URL of an Azure Key Vault. "
                "Set keyvault_vault, or the environment variable DURABLE_KEYVAULT_VAULT."
            )
        if len(vault) <= 24 and _VAULT.fullmatch(vault):
            return f"https://{vault.lower()}.{self.suffix}"
        place = urlsplit(vault)
        if place.scheme != "https" or not place.hostname or place.path or place.query or place.username:
            raise SecretError(
                f"keyvault_vault is {vault!r}; expected a name of 3 to 24 letters, digits and hyphens, "
                "or a URL such as https://company.vault.azure.net."
            )
        return vault

    def scope(self, url: str) -> str:
        """What a token for this vault is for, when its name says so; else empty, and the vault is asked.

        The same names that a vault's own answer is checked against: a token goes to nobody else unasked.
        """
        suffix = CLOUDS[self.cloud][0]
        return f"https://{suffix}/.default" if (urlsplit(url).hostname or "").endswith(f".{suffix}") else ""


def secret_name(name: str) -> str:
    """The name that a vault knows: underscores and dots, which it does not allow, are hyphens there.

    :raises SecretError: it would not be a name of a secret either.
    """
    mapped = re.sub(r"[_.]", "-", name)
    if not _SECRET.fullmatch(mapped):
        raise SecretError(
            f"Not a name of a secret in Azure Key Vault: {name!r}. "
            "Expected up to 127 letters, digits and hyphens; underscores and dots become hyphens."
        )
    return mapped


def vault_name(url: str) -> str:
    """The name for commands, from the URL."""
    return (urlsplit(url).hostname or url).partition(".")[0]


# Variables that set these options, for preflight.
SPEC: dict[str, dict[str, t.Any]] = {
    f"keyvault_{each.name}": {
        "type": {"bool": "bool", "int": "int", "float": "float"}.get(str(each.type), "str"),
        **({"choices": list(METHODS)} if each.name == "auth_method" else {}),
        **({"choices": list(CLOUDS)} if each.name == "cloud" else {}),
        **({"no_log": True} if not each.repr else {}),
    }
    for each in fields(Settings)
}


def from_options(option: t.Callable[[str], t.Any]) -> Settings:
    """Settings from the options of a plugin, as its ``get_option`` gives them. Those that are not set have their default."""
    given = {each.name: option(each.name) for each in fields(Settings)}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def from_variables(variables: Mapping[str, t.Any], given: Mapping[str, t.Any] | None = None) -> Settings:
    """Settings as the lookup would have them: from what is given, variables, environment and ``ansible.cfg``.

    :param variables: rendered; those in :data:`SPEC` count.
    :raises SecretError: one of them is not what it should be.
    """
    try:
        lookup = lookup_loader.get(LOOKUP)
        lookup.set_options(var_options=dict(variables), direct=dict(given or {}))
        return from_options(lookup.get_option)
    except AnsibleError as error:
        raise SecretError(str(error)) from None
