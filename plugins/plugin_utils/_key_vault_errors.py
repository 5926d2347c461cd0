# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong between an identity and a key vault, in sentences: what happened, to whom, and what to do.

Private to this collection. Of what a server says only codes, addresses and ids go into a sentence. Its own words are
quoted where its code is not known, without what may be a secret; never where it was sent a value.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible_collections.durable.temporal.plugins.plugin_utils import _azure as azure
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import CLOUDS, vault_name
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError

_AUTHORITIES = {authority for _suffix, authority in CLOUDS.values()}
# How much of a server's own words is quoted.
_QUOTED = 300
# What a server says when it may be otherwise in a moment.
BUSY = (408, 429, 500, 502, 503, 504)


class NoIdentity(Exception):
    """Half a sentence: why there is no token."""


class OutOfTime(Exception):
    """No answer within the timeout, whatever was waited for."""


class VaultError(SecretError):
    """``shared`` says that every secret of this vault fails in this way, so that nobody needs to ask for another."""

    def __init__(self, text: str, shared: bool) -> None:
        super().__init__(text)
        self.shared = shared


@dataclass(frozen=True)
class Case:
    """What was being done. ``name`` is empty where it is not about one secret; ``who`` is for commands.

    ``authority`` gives the tokens; ``own`` says that somebody has set it, and ``discovery`` that Microsoft is asked
    whether it is one of theirs. ``hidden`` are texts that no sentence may quote.
    """

    url: str
    name: str
    words: str
    who: str
    authority: str
    timeout: float
    verb: str = "read"
    own: bool = False
    discovery: bool = True
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def vault(self) -> str:
        return urlsplit(self.url).netloc.removesuffix(":443")

    @property
    def short(self) -> str:
        return vault_name(self.url)

    @property
    def what(self) -> str:
        return f"the secret {self.name} of the vault {self.vault}" if self.name else f"the vault {self.vault}"


def is_missing(error: BaseException) -> bool:
    return isinstance(error, azure.ResourceNotFoundError)


def wait_for(error: BaseException, tries: int) -> tuple[float, bool] | None:
    """How many seconds to wait before trying again, and whether that counts as a try; ``None``: it will not help.

    Being throttled is no failure: whoever says how long to wait is waited for, as long as the timeout allows.
    """
    pause = min(8.0, 0.5 * 2**tries)
    error = _no_answer(error) or error
    if isinstance(error, azure.HttpResponseError):
        if error.status_code not in BUSY:
            return None
        told = _header(error, "Retry-After")
        return (float(told) if re.fullmatch(r"\d+(\.\d+)?", told) else pause), error.status_code != 429
    if isinstance(error, azure.ServiceRequestError | azure.ServiceResponseError):
        if _cause(error, ssl.SSLCertVerificationError) or _cause(error, socket.gaierror, "NameResolutionError"):
            return None
        return pause, True
    return None


def explain(error: BaseException, case: Case) -> VaultError:
    """The sentence for what went wrong."""
    if isinstance(error, VaultError):
        return error
    if isinstance(error, SecretError):
        return VaultError(str(error), shared=True)
    if isinstance(error, OutOfTime):
        return VaultError(_timeout(case), shared=True)
    if isinstance(error, NoIdentity | azure.CredentialUnavailableError):
        return VaultError(_no_identity(error, case), shared=True)
    if isinstance(error, azure.ClientAuthenticationError) and (silence := _no_answer(error)):
        return VaultError(_network(silence, case, _authority_place(case)), shared=True)
    if isinstance(error, azure.ClientAuthenticationError) and not _of_vault(error, case):
        return VaultError(_refused_identity(error, case), shared=True)
    if isinstance(error, azure.HttpResponseError):
        return _answer(error, case)
    if isinstance(error, azure.AzureError):
        return VaultError(_network(error, case, case.vault), shared=True)
    if isinstance(error, ValueError):
        return VaultError(_value(error, case), shared=True)
    return VaultError(
        f"{case.what[0].upper()}{case.what[1:]} could not be {case.verb}, for a reason that is not known "
        f"({type(error).__name__}). Please report it.",
        shared=True,
    )


# Causes


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and everything that it comes from."""
    seen: set[int] = set()
    queue: list[t.Any] = [error]
    while queue:
        each = queue.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        queue += [
            each.__cause__,
            each.__context__,
            getattr(each, "inner_exception", None),
            getattr(each, "reason", None),
        ]
        queue += list(each.args)


def _cause(error: BaseException, kind: type[BaseException], *names: str) -> BaseException | None:
    return next((e for e in _chain(error) if isinstance(e, kind) or type(e).__name__ in names), None)


def _no_answer(error: BaseException) -> azure.AzureError | None:
    """What the SDK wraps as a refusal although nobody has answered."""
    if not isinstance(error, azure.ClientAuthenticationError) or error.response is not None:
        return None
    found = _cause(error, azure.ServiceRequestError) or _cause(error, azure.ServiceResponseError)
    return found if isinstance(found, azure.AzureError) else None


def _of_vault(error: azure.HttpResponseError, case: Case) -> bool:
    url = str(getattr(getattr(error.response, "request", None), "url", "")) if error.response else ""
    return urlsplit(url).netloc.removesuffix(":443") == urlsplit(case.url).netloc.removesuffix(":443")


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error)


def _quoted(text: str, case: Case) -> str:
    """A server's own words for a sentence, in quotes; empty when there are none, or when it was sent a value.

    Without what a secret or a token may be: the texts that are hidden, and whatever is long and has no blank.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if case.verb != "read" or not text:
        return ""
    for secret in filter(None, case.hidden):
        text = text.replace(secret, "…")
    text = re.sub(r"Bearer \S+|[\w.~+=-]{40,}", "…", text)
    return f'"{text[:_QUOTED] + "…" if len(text) > _QUOTED else text}"'


# No answer


def _timeout(case: Case) -> str:
    return (
        f"{case.vault} did not answer within {case.timeout:g} s, as {case.words}. Look whether this machine reaches it "
        f"(curl -sv https://{case.vault}/healthstatus), whether it needs keyvault_proxy, and give it longer with "
        "keyvault_timeout only if it is known to be slow."
    )


def _network(error: azure.AzureError, case: Case, asked: str) -> str:
    """No answer of ``asked``, or of another host if the error names one."""
    host = _host(error) or asked
    of_authority = case.own and host == _authority_place(case)
    as_ = f"as {case.words}" + (", to which it gives tokens by keyvault_authority" if of_authority else "")
    if case.own and case.discovery and host in _AUTHORITIES and not of_authority:
        return (
            f"keyvault_authority is {case.authority} and keyvault_instance_discovery is true, so {host} is asked whether "
            f"that is one of Microsoft's, and it could not be reached; {case.words} got no token for {case.vault}. Set "
            "keyvault_instance_discovery: false if the authority is your own, else let this machine reach that host "
            "(keyvault_proxy)."
        )
    if _cause(error, socket.gaierror, "NameResolutionError"):
        step = (
            "Correct keyvault_vault, or keyvault_cloud; a vault behind a private endpoint has an address only in its network."
            if host == case.vault
            else f"It gives the tokens: correct {_authority_option(case)}, or look at the resolver of this machine."
        )
        return f"The name {host} has no address, so that {case.what} cannot be {case.verb}, {as_}. {step}"
    if certificate := _cause(error, ssl.SSLCertVerificationError):
        why = str(getattr(certificate, "verify_message", "") or "it is signed by nobody that is trusted here")
        return (
            f"The TLS certificate of {host} is not accepted ({why}), so nothing was sent to it, {as_}. "
            "Behind a company's TLS proxy, set keyvault_ca_certificate to the proxy's authority (a PEM file); "
            "else this may be somebody else's server."
        )
    if _cause(error, ssl.SSLError):
        return f"{host} and this machine could not agree on TLS, {as_}. Look what answers there: openssl s_client -connect {host}:443"
    if proxied := _cause(error, OSError, "ProxyError"):
        if "Tunnel connection failed" in str(error):
            status = re.search(r"Tunnel connection failed: (\d{3})", str(error))
            return (
                f"The proxy did not let through to {host} (it answered {status[1] if status else 'no'}), {as_}. "
                "Allow that host at the proxy, or correct keyvault_proxy."
            )
        if isinstance(_cause(error, ConnectionRefusedError), ConnectionRefusedError):
            by = (
                "the proxy of keyvault_proxy"
                if _cause(proxied, OSError, "ProxyError") and "roxy" in str(error)
                else host
            )
            return f"The connection to {by} was refused, {as_}. Look whether something answers there, and at keyvault_proxy."
    if _timed_out(error):
        return (
            _timeout(case)
            if host == case.vault
            else f"{host}, which gives the tokens, did not answer in time, {as_}. Look at keyvault_proxy, and at keyvault_timeout."
        )
    return (
        f"The connection to {host} broke off each time that it was tried, {as_}. Look at the network between, "
        "and at keyvault_proxy."
    )


def _timed_out(error: BaseException) -> bool:
    return any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in _chain(error))


def _host(error: BaseException) -> str:
    for each in _chain(error):
        found = re.search(r"host='([^']+)'(?:, port=(\d+))?", str(each))
        if found:
            return found[1] if found[2] in (None, "443") else f"{found[1]}:{found[2]}"
    return ""


# No identity


def _no_identity(error: BaseException, case: Case) -> str:
    if isinstance(error, NoIdentity):
        why = str(error)
    else:
        said = _text(error)
        known = {
            "Please run 'az login'": "the Azure CLI is not logged in",
            "Azure CLI not found": "the Azure CLI is not installed",
            "Identity not found": "this machine does not have that identity",
            "No identity has been assigned": "this machine has no identity",
            "no response from the IMDS endpoint": "there is no answer where a virtual machine in Azure gets its tokens",
        }
        why = next((words for text, words in known.items() if text in said), "none of its sources has one")
    return (
        f"There is no identity to ask {case.vault} with: {case.words} was tried, and {why}. On a virtual machine in Azure "
        "assign it one (az vm identity assign); elsewhere set keyvault_auth_method and what it needs, or run az login."
    )


_AADSTS = {
    "90002": "there is no tenant of that id. Correct keyvault_tenant_id, and keyvault_cloud",
    "900023": "that is no id of a tenant. Correct keyvault_tenant_id",
    "700016": "there is no such application in that tenant. Correct keyvault_client_id, or keyvault_tenant_id",
    "700038": "that is no id of an application; expected a UUID. Correct keyvault_client_id",
    "7000215": "its secret is wrong. Set keyvault_client_secret to the value of the secret, not to its id",
    "7000222": "its secret has expired. Make a new one (az ad app credential reset) and set keyvault_client_secret",
    "700027": "its certificate is not registered with it. Add it (az ad app credential reset --cert …), or correct "
    "keyvault_client_certificate",
    "700024": "what proves it is out of date. Look at the clock of this machine",
    "70021": "no federated credential of it fits the workflow. Add one with the workflow's subject "
    "(az ad app federated-credential create)",
    "700211": "no federated credential of it has this issuer. Add one (az ad app federated-credential create)",
    "700212": "no federated credential of it has this audience. Correct keyvault_oidc_audience",
    "700213": "no federated credential of it fits the workflow. Add one with the workflow's subject "
    "(az ad app federated-credential create)",
    "50034": "there is no such user in that tenant",
    "53003": "a conditional access policy does not let it in from here",
}


def _refused_identity(error: azure.ClientAuthenticationError, case: Case) -> str:
    said = _text(error)
    if "not configured to acquire tokens for tenant" in said:
        return _tenant(case, "")
    if "is not well-known" in said or "authority configuration" in said:
        return _authority(said, case)
    code = re.search(r"AADSTS(\d+)", said)
    known = _AADSTS.get(code[1] if code else "", "")
    words = _quoted(said.removeprefix("Authentication failed: ").partition("Trace ID:")[0], case)
    where = _authority_place(case)
    why = known or (
        f"{where} answered {words or 'no, without a word'}. Look at keyvault_tenant_id, keyvault_client_id and what proves "
        "it, and at the sign-in logs of the tenant if there are any"
    )
    return f"No token was given to {case.words} for {case.vault}: {why}{f' (AADSTS{code[1]})' if code else ''}."


def _tenant(case: Case, tenant: str) -> str:
    belongs = f"the tenant {tenant}" if tenant else "another tenant"
    return (
        f"The vault {case.vault} belongs to {belongs}, and {case.words} has a token of its own tenant. Set "
        "keyvault_tenant_id to the vault's tenant (az keyvault show --query properties.tenantId), or correct keyvault_vault."
    )


# An answer that is no secret


def _inner(error: azure.HttpResponseError) -> tuple[str, str]:
    """The codes of an answer, the outer and the inner one."""
    model = error.error
    inner = (getattr(model, "innererror", None) or {}).get("code", "") if model else ""
    outer = str(getattr(model, "code", "") or "")
    if not inner:
        # Depending on its version, the SDK takes the body apart or leaves it as it came.
        found = re.search(r'"innererror"\s*:\s*\{\s*"code"\s*:\s*"(\w+)"', _body(error))
        inner = found[1] if found else ""
    return outer, str(inner)


def _header(error: azure.HttpResponseError, name: str) -> str:
    return str(getattr(error.response, "headers", {}).get(name, ""))


def _body(error: azure.HttpResponseError) -> str:
    try:
        return str(error.response.text()) if error.response else ""
    except Exception:
        return ""


def _answer(error: azure.HttpResponseError, case: Case) -> VaultError:
    outer, inner = _inner(error)
    body = _body(error)
    action = "get" if case.verb == "read" else "set"
    role = "Key Vault Secrets User" if case.verb == "read" else "Key Vault Secrets Officer"
    secret = f"az keyvault secret set-attributes --vault-name {case.short} --name {case.name}"
    if inner == "SecretDisabled":
        return VaultError(
            f"{_upper(case.what)} is disabled, so {case.words} gets no value. Enable it ({secret} --enabled true), "
            "or refer to another version.",
            shared=False,
        )
    if inner == "SecretExpired":
        return VaultError(expired(case, ""), shared=False)
    if inner == "ForbiddenByRbac":
        return VaultError(
            f"{_upper(case.words)} may not {action} {case.what}: no role gives it that. Assign one (az role assignment "
            f'create --assignee {case.who} --role "{role}" --scope "$(az keyvault show --name {case.short} --query id '
            '--output tsv)"); it takes a few minutes to count.',
            shared=False,
        )
    if inner == "AccessDenied":
        return VaultError(
            f"{_upper(case.words)} may not {action} {case.what}: the vault's access policy does not allow it. Add it (az "
            f"keyvault set-policy --name {case.short} --object-id <object id of the identity> --secret-permissions {action}).",
            shared=False,
        )
    if inner == "ForbiddenByFirewall":
        address = re.search(r"Client address: ([0-9a-fA-F.:]+)", body)
        ip = address[1] if address else "<address of this machine>"
        return VaultError(
            f"The firewall of the vault {case.vault} does not let {ip} in, so {case.words} cannot {action} secrets. Add the "
            f"address (az keyvault network-rule add --name {case.short} --ip-address {ip}), or run this from a network "
            "that the vault allows.",
            shared=True,
        )
    if inner == "ForbiddenByConnection":
        return VaultError(
            f"The vault {case.vault} answers only through its private endpoint, so {case.words} cannot {action} secrets "
            "from here. Run this inside of that network, or allow this one (az keyvault update --public-network-access).",
            shared=True,
        )
    if inner == "ObjectIsDeletedButRecoverable":
        return VaultError(
            f"{_upper(case.what)} was deleted and can still be recovered, so its name cannot be used. Recover it (az "
            f"keyvault secret recover --vault-name {case.short} --name {case.name}) or purge it.",
            shared=False,
        )
    if error.status_code == 401:
        return VaultError(_unauthorized(body, error, case), shared=True)
    if error.status_code == 429:
        return VaultError(
            f"The vault {case.vault} still says that it is asked too often after {case.timeout:g} s, as {case.words}. Try again "
            "later; look who else asks it (its metric ServiceApiHit), and give it longer with keyvault_timeout.",
            shared=True,
        )
    if error.status_code in BUSY:
        return VaultError(
            f"The vault {case.vault} was out of order each time that it was asked (it answered {error.status_code}), as "
            f"{case.words}. Try again later; its state is at https://status.azure.com.",
            shared=True,
        )
    if error.status_code == 400 and "version" in body and outer == "BadParameter":
        return VaultError(
            f"The vault {case.vault} does not know the version of the API that it was asked by. Set keyvault_api_version "
            "to one that it has, such as 7.4.",
            shared=True,
        )
    return VaultError(_unknown(error, case, f"{error.status_code} {inner or outer}".strip()), shared=False)


def _unknown(error: azure.HttpResponseError, case: Case, code: str) -> str:
    """An answer whose code says too little: the vault's own words say more, if it is one."""
    words = _message(error, case)
    if not words:
        step = "Look whether this is an Azure Key Vault (keyvault_vault)."
    elif error.status_code == 403:
        step = (
            "Look whether the secret is enabled and within its dates (az keyvault secret list-versions --vault-name "
            f"{case.short} --name {case.name}), and what the identity may do there (az role assignment list --all "
            f"--assignee {case.who})."
        )
    else:
        step = "Do what it says, or correct keyvault_vault."
    said = f", {words}" if words else ""
    return f"{_upper(case.what)} could not be {case.verb} as {case.words}: the vault answered {code}{said}. {step}"


def _message(error: azure.HttpResponseError, case: Case) -> str:
    """The words of an answer that has the form of a vault's, quoted."""
    try:
        answer = json.loads(_body(error))
        return _quoted(str(answer["error"]["message"]), case)
    except (ValueError, KeyError, TypeError):
        return ""


def _unauthorized(body: str, error: azure.HttpResponseError, case: Case) -> str:
    challenge = _header(error, "WWW-Authenticate")
    if "AKV10032" in body or "nvalid issuer" in body:
        tenant = re.search(r'authorization="https://[^/"]+/([^/"]+)"', challenge)
        return _tenant(case, tenant[1] if tenant else "")
    if "AKV10022" in body or "nvalid audience" in body:
        return (
            f"The vault {case.vault} takes no tokens that are meant for another cloud, as the one of {case.words} is. "
            "Correct keyvault_cloud."
        )
    if "xpired" in body:
        return (
            f"The vault {case.vault} says that the token of {case.words} is out of date, also of a new one. "
            "Look at the clock of this machine."
        )
    words = _message(error, case)
    said = f": it answered {words}" if words else ""
    return (
        f"The vault {case.vault} does not accept the token of {case.words}{said}. Look at keyvault_tenant_id and "
        f"{_authority_option(case)}."
    )


def _value(error: ValueError, case: Case) -> str:
    """What the SDK refuses before it asks anybody."""
    said = str(error)
    if "challenge resource" in said or "does not match the requested domain" in said:
        resource = re.search(r"challenge resource '([^']+)'", said)
        asks = resource[1] if resource else "another service"
        return (
            f"{case.vault} asks for a token that is meant for {asks}, to which its name does not belong, so it got none "
            f"of {case.words}. Correct keyvault_vault. Only if you know that this is your vault, behind another name: "
            "keyvault_verify_challenge: false."
        )
    if isinstance(error, json.JSONDecodeError):
        return (
            f"{case.vault} answered {case.words} with something that is no answer of a vault, such as the page of a proxy. "
            "Correct keyvault_vault, or keyvault_proxy."
        )
    if "is not well-known" in said or "authority" in said.lower():
        return _authority(said, case)
    if "nvalid tenant" in said:
        return (
            f"keyvault_tenant_id is not an id of a tenant, in the settings of {case.words}; expected a UUID or the name of a "
            "domain. Correct keyvault_tenant_id (az account show --query tenantId)."
        )
    return f"The settings for {case.vault} as {case.words} do not fit together ({type(error).__name__})."


def _authority(said: str, case: Case) -> str:
    if "is not well-known" in said:
        return (
            f"{case.authority} is no place that is known to give tokens, so {case.words} was not shown to it. Correct "
            f"{_authority_option(case)}. Only if it is your own: keyvault_instance_discovery: false."
        )
    return (
        f"{case.authority} does not know the tenant of {case.words}, so that there is no token for {case.vault}. Correct "
        f"keyvault_tenant_id, or {_authority_option(case)}."
    )


def _authority_place(case: Case) -> str:
    return case.authority.partition("://")[2].removesuffix("/") or case.authority


def _authority_option(case: Case) -> str:
    """What says who gives the tokens."""
    return "keyvault_authority" if case.own else "keyvault_cloud"


def expired(case: Case, when: str) -> str:
    return (
        f"{_upper(case.what)} has expired{f' on {when}' if when else ''}, so {case.words} does not hand it out. Store a new "
        f"value (az keyvault secret set --vault-name {case.short} --name {case.name} --file …), or, where its date does not "
        "matter, set keyvault_allow_expired: true."
    )


def not_yet(case: Case, when: str) -> str:
    return (
        f"{_upper(case.what)} is not valid before {when}, so {case.words} does not hand it out. Refer to an earlier version, "
        "or, where its date does not matter, set keyvault_allow_expired: true."
    )


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
