# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks a key vault: one function for each way to have an identity, and tokens that a run asks for once.

Private to this collection. Each way checks its own settings and names the one that is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ansible_collections.durable.temporal.plugins.plugin_utils import _azure as azure
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_errors import NoIdentity
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import Settings
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._run_cache import RunCache

METADATA = "http://169.254.169.254"
# Other environments than a VM have their own endpoint, which needs no asking whether it is there.
_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")
# A token is replaced before its end, so that a request that takes long still arrives in time.
_MARGIN_SECONDS = 300


class Source(t.Protocol):
    """A credential of the SDK."""

    def get_token(self, *scopes: str, **kwargs: t.Any) -> azure.AccessToken: ...


@dataclass(frozen=True)
class Identity:
    """Who asks: in words, for people; as a key, which another identity does not have; whether it has tokens of one tenant
    only; and the credential itself.

    ``who`` is what commands take: an id, or a placeholder where nobody but Azure knows it.
    """

    words: str
    who: str
    key: str
    fixed: bool
    source: Callable[[], Source]


def choose(settings: Settings, environ: Mapping[str, str]) -> Identity:
    """The identity that the settings say.

    :raises SecretError: names the setting that this way to have an identity lacks.
    """
    method = _automatic(settings, environ) if settings.auth_method == "auto" else settings.auth_method
    words, who, source = _METHODS[method](settings, environ)
    # A token is for a machine or a user too, and these are named by the environment.
    places = [environ.get(name, "") for name in ("AZURE_POD_IDENTITY_AUTHORITY_HOST", *_ENDPOINTS, "AZURE_CONFIG_DIR")]
    key = hashlib.sha256(repr([settings.identity, places]).encode()).hexdigest()
    # Else a vault may ask for a token of its own tenant.
    fixed = bool(settings.tenant_id) or method == "managed_identity"
    return Identity(words, who, key, fixed, source)


def _automatic(settings: Settings, environ: Mapping[str, str]) -> str:
    """The first of these that is there. Documented at the option ``auth_method``."""
    application = bool(settings.client_id and settings.tenant_id)
    if application and (settings.oidc_token or environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")):
        return "oidc"
    if application and settings.federated_token_file:
        return "workload_identity"
    if application and settings.client_secret:
        return "client_secret"
    if application and settings.client_certificate:
        return "client_certificate"
    if any(environ.get(name) for name in (*_ENDPOINTS, "AZURE_POD_IDENTITY_AUTHORITY_HOST")):
        return "managed_identity"
    return "cli_or_managed_identity"


def _need(settings: Settings, method: str, *names: str) -> None:
    missing = [f"keyvault_{name}" for name in names if not getattr(settings, name)]
    if missing:
        raise SecretError(
            f"keyvault_auth_method is {method}, which needs {' and '.join(missing)}. "
            f"Set {'it' if len(missing) == 1 else 'them'}, or choose another keyvault_auth_method."
        )


Made = tuple[str, str, Callable[[], Source]]


def network(settings: Settings) -> dict[str, t.Any]:
    """How the SDK reaches anything. One try each: what is worth repeating is repeated above it, and within the timeout."""
    options: dict[str, t.Any] = {
        "retry_total": 0,
        "connection_timeout": settings.timeout,
        "read_timeout": settings.timeout,
    }
    if settings.proxy:
        options["proxies"] = {"http": settings.proxy, "https": settings.proxy}
    if settings.ca_certificate:
        if not os.path.exists(settings.ca_certificate):
            raise SecretError(
                f"keyvault_ca_certificate is {settings.ca_certificate}, which is no file on the controller. "
                "Correct it, or leave it out for the authorities that Python trusts."
            )
        options["connection_verify"] = settings.ca_certificate
    return options


def _directory(settings: Settings) -> dict[str, t.Any]:
    return {
        "authority": settings.authority_url,
        "disable_instance_discovery": not settings.instance_discovery,
        **network(settings),
    }


def _application(settings: Settings, by: str) -> tuple[str, str]:
    return f"the application {settings.client_id} of the tenant {settings.tenant_id} ({by})", settings.client_id


def _managed_identity(settings: Settings, environ: Mapping[str, str]) -> Made:
    client_id = settings.client_id
    words = f"the managed identity {client_id}" if client_id else "the managed identity of this machine"

    def source() -> Source:
        if not any(environ.get(name) for name in _ENDPOINTS):
            _probe(environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or METADATA, min(3.0, settings.timeout))
        # Never through a proxy: the service answers only this machine. It is often busy for a moment, and the SDK knows
        # when to ask it again.
        return azure.ManagedIdentityCredential(
            client_id=client_id or None,
            use_env_settings=False,
            retry_total=settings.retries,
            retry_status=settings.retries,
            connection_timeout=min(3.0, settings.timeout),
            read_timeout=settings.timeout,
        )

    return words, client_id or "<object id of the VM's identity>", source


def _probe(endpoint: str, seconds: float) -> None:
    """Without this, a machine that is not in Azure would be asked for half a minute."""
    place = urlsplit(endpoint)
    try:
        socket.create_connection((place.hostname or "", place.port or 80), seconds).close()
    except OSError:
        raise NoIdentity(
            f"there is no answer from {endpoint}, where a virtual machine in Azure gets its tokens"
        ) from None


def _workload_identity(settings: Settings, environ: Mapping[str, str]) -> Made:
    _need(settings, "workload_identity", "tenant_id", "client_id", "federated_token_file")
    if not os.path.exists(settings.federated_token_file):
        raise SecretError(
            f"keyvault_federated_token_file is {settings.federated_token_file}, which is no file on the controller. "
            "Kubernetes and Azure Arc write it where the identity is set up."
        )

    def source() -> Source:
        return azure.WorkloadIdentityCredential(
            tenant_id=settings.tenant_id,
            client_id=settings.client_id,
            token_file_path=settings.federated_token_file,
            **_directory(settings),
        )

    return *_application(settings, "workload identity"), source


def _oidc(settings: Settings, environ: Mapping[str, str]) -> Made:
    _need(settings, "oidc", "tenant_id", "client_id")
    url, key = environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", ""), environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
    if not settings.oidc_token and not (url and key):
        raise SecretError(
            "keyvault_auth_method is oidc, and there is neither keyvault_oidc_token nor a workflow of GitHub that may ask "
            "for one. In the workflow, set `permissions: {id-token: write}`."
        )

    def assertion() -> str:
        return settings.oidc_token or _id_token(settings, url, key)

    def source() -> Source:
        return azure.ClientAssertionCredential(
            settings.tenant_id, settings.client_id, assertion, **_directory(settings)
        )

    return *_application(settings, "OIDC"), source


def _id_token(settings: Settings, url: str, key: str) -> str:
    """What GitHub says about the job that is running."""
    options = network(settings)
    proxies = options.pop("proxies", None)
    full = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode({'audience': settings.oidc_audience})}"
    client: azure.PipelineClient[t.Any, t.Any] = azure.PipelineClient(
        base_url=full, transport=azure.RequestsTransport(**options)
    )
    with client:
        asked = azure.HttpRequest("GET", full, headers={"Authorization": f"Bearer {key}", "Accept": "application/json"})
        answer = client.send_request(asked, **({"proxies": proxies} if proxies else {}))
        if answer.status_code == 200:
            return str(answer.json()["value"])
    raise NoIdentity(
        f"GitHub's token service answered {answer.status_code}; the workflow needs `permissions: {{id-token: write}}`"
    )


def _client_secret(settings: Settings, environ: Mapping[str, str]) -> Made:
    _need(settings, "client_secret", "tenant_id", "client_id", "client_secret")

    def source() -> Source:
        return azure.ClientSecretCredential(
            settings.tenant_id, settings.client_id, settings.client_secret, **_directory(settings)
        )

    return *_application(settings, "client secret"), source


def _client_certificate(settings: Settings, environ: Mapping[str, str]) -> Made:
    _need(settings, "client_certificate", "tenant_id", "client_id", "client_certificate")
    path, password = settings.client_certificate, settings.client_certificate_password or None

    def source() -> Source:
        try:
            return azure.CertificateCredential(
                settings.tenant_id, settings.client_id, path, password=password, **_directory(settings)
            )
        except (OSError, ValueError, TypeError) as error:
            raise SecretError(
                f"The certificate {path} of keyvault_client_certificate cannot be used ({type(error).__name__}). Expected "
                "a PEM or PKCS12 file with the certificate and its key, and its password if it has one."
            ) from None

    return *_application(settings, "client certificate"), source


def _cli(settings: Settings, environ: Mapping[str, str]) -> Made:
    def source() -> Source:
        return azure.AzureCliCredential(tenant_id=settings.tenant_id, process_timeout=max(1, int(settings.timeout)))

    return "the login of the Azure CLI", "<object id of the user>", source


def _default(settings: Settings, environ: Mapping[str, str]) -> Made:
    def source() -> Source:
        return azure.DefaultAzureCredential(process_timeout=max(1, int(settings.timeout)), **_directory(settings))

    return "what azure.DefaultAzureCredential has found", "<object id>", source


def _cli_or_managed_identity(settings: Settings, environ: Mapping[str, str]) -> Made:
    class Either:
        """The Azure CLI where it is logged in, else the machine's identity."""

        def get_token(self, *scopes: str, **kwargs: t.Any) -> azure.AccessToken:
            without = "the Azure CLI is not installed"
            if shutil.which("az"):
                try:
                    return _cli(settings, environ)[2]().get_token(*scopes, **kwargs)
                except azure.CredentialUnavailableError:
                    without = "the Azure CLI is not logged in"
            try:
                return _managed_identity(settings, environ)[2]().get_token(*scopes, **kwargs)
            except NoIdentity as error:
                raise NoIdentity(f"no application is configured, {without}, and {error}") from None

    return "the login of the Azure CLI, or the managed identity of this machine", "<object id>", Either


_METHODS: dict[str, Callable[[Settings, Mapping[str, str]], Made]] = {
    "managed_identity": _managed_identity,
    "workload_identity": _workload_identity,
    "oidc": _oidc,
    "client_secret": _client_secret,
    "client_certificate": _client_certificate,
    "cli": _cli,
    "default": _default,
    "cli_or_managed_identity": _cli_or_managed_identity,
}


class Tokens:
    """The credential that the SDK is given: each token is asked for once a run, and again when a vault refuses it."""

    def __init__(self, identity: Identity, cache: RunCache | None, patience_seconds: float) -> None:
        self._identity = identity
        self._cache = cache
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._kept: dict[tuple[str, ...], azure.AccessToken] = {}
        self._refused: set[str] = set()

    def refuse(self, token: str) -> None:
        """A vault did not take this one."""
        self._refused.add(token)

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **kwargs: t.Any
    ) -> azure.AccessToken:
        """As the SDK asks for it."""
        tenant = "" if self._identity.fixed else tenant_id or ""
        key = ("token", self._identity.key, *scopes, tenant, claims or "")
        with self._lock:
            token = self._known(key)
            if token is None and self._cache is not None:
                with self._cache.locked(self._patience, *key):
                    token = self._known(key) or self._ask(key, scopes, claims, tenant)
            return token or self._ask(key, scopes, claims, tenant)

    def _known(self, key: tuple[str, ...]) -> azure.AccessToken | None:
        token = self._kept.get(key)
        if token is None and self._cache is not None and (found := self._cache.get(*key)):
            token = azure.AccessToken(*found)
        if token is None or token.token in self._refused or token.expires_on - time.time() < _MARGIN_SECONDS:
            return None
        return token

    def _ask(self, key: tuple[str, ...], scopes: tuple[str, ...], claims: str | None, tenant: str) -> azure.AccessToken:
        if self._source is None or self._refused:
            # It remembers tokens too, and would give one that was refused again.
            self._source = self._identity.source()
        more: dict[str, t.Any] = {"claims": claims} if claims else {}
        token = self._source.get_token(*scopes, **more, **({"tenant_id": tenant} if tenant else {}))
        self._kept[key] = token
        if self._cache is not None:
            self._cache.put([token.token, token.expires_on], *key)
        return token
