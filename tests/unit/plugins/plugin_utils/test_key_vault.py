# SPDX-License-Identifier: GPL-3.0-or-later
"""The real SDK against the double: identities, what is asked for how often, and a sentence for everything that goes wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _key_vault
from ansible_collections.durable.temporal.plugins.plugin_utils import _key_vault_identity as identities
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault import AzureKeyVault
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import Settings, secret_name
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Reference, SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._run_cache import RunCache
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import Renewable
from azure.keyvault.secrets._shared.http_challenge_cache import _cache as challenges
from vault_certificates import Authority, client_pair
from vault_double import Double
from vault_services import OTHER_TENANT, TENANT

VALUE = "the-value-that-nobody-may-see"
A = Reference("database-password")
ENVIRONMENT = ("AZURE_", "ACTIONS_", "IDENTITY_", "MSI_", "HTTP", "http", "ALL_PROXY", "NO_PROXY", "no_proxy")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with Double(tmp_path_factory.mktemp("double")) as double:
        yield double


@pytest.fixture
def double(running: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """Empty, and the only Azure that this process knows."""
    challenges.clear()  # what the SDK remembers of other tests
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT) or name == "REQUESTS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", running.proxy)
    services = running.services
    services.heal()
    services.forget()
    services.secrets.clear()
    services.applications.clear()
    services.managed = {""}
    services.put(A.name, VALUE)
    yield running
    services.heal()


@pytest.fixture
def settings(double: Double) -> Settings:
    """The machine's identity, real names, a proxy and its authority: nothing is relaxed."""
    return Settings(
        vault=double.services.vault,
        auth_method="managed_identity",
        proxy=double.proxy,
        ca_certificate=str(double.ca_file),
        timeout=10,
        retries=2,
    )


@pytest.fixture
def get(settings: Settings, tmp_path: Path) -> Callable[..., dict[Reference, str]]:
    """Asks as one task of a run does: with a client of its own, and what the run has kept."""

    def ask(*references: Reference, **changed: Any) -> dict[Reference, str]:
        return AzureKeyVault(replace(settings, **changed), RunCache(tmp_path / "run", b"run")).get(references or (A,))

    return ask


Get = Callable[..., dict[Reference, str]]


def refused(get: Get, *references: Reference, **changed: Any) -> str:
    """What a person reads. Never a value, never a token."""
    with pytest.raises(SecretError) as caught:
        get(*references, **changed)
    text = str(caught.value)
    assert VALUE not in text
    assert "Bearer" not in text
    assert "Traceback" not in text
    assert caught.value.__cause__ is None
    return text


# How often


def test_a_secret_is_asked_for_once_a_run_and_a_token_once(double: Double, get: Get) -> None:
    others = [Reference(f"s{n}") for n in range(12)]
    for reference in others:
        double.services.put(reference.name, reference.name.upper())
    for _task in range(3):
        found = get(A, *others)
        assert found == {A: VALUE, **{r: r.name.upper() for r in others}}
        get(A)
    assert double.services.summary() == {
        "reads": dict.fromkeys([A.name, *(r.name for r in others)], 1),
        "tokens": 1,
        "requests": 14,  # no question without a token first
        "without_token": 0,
    }


def test_a_secret_that_is_not_there_is_asked_for_once_too(double: Double, get: Get) -> None:
    assert get(Reference("none")) == get(Reference("none")) == {}
    assert double.services.summary()["reads"] == {"none": 1}


def test_many_that_want_it_at_once_cause_one_request(double: Double, get: Get) -> None:
    double.services.fail("slow", seconds=0.3)
    found: list[dict[Reference, str]] = []
    threads = [threading.Thread(target=lambda: found.append(get())) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [{A: VALUE}] * 6
    assert double.services.summary()["reads"] == {A.name: 1}


def test_those_who_waited_while_it_failed_do_not_wait_again(double: Double, get: Get) -> None:
    double.services.fail("hang")
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(refused(get, timeout=1, retries=0))) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(told) == 4
    assert len(set(told)) == 1
    assert double.services.count("vault") == 1


def test_a_vault_that_hangs_is_waited_for_once(double: Double, get: Get) -> None:
    double.services.fail("hang")
    told = refused(get, timeout=2, retries=0)
    assert refused(get, Reference("other"), timeout=2, retries=0) == told
    assert double.services.count("vault") == 1
    double.services.heal()
    deadline = time.monotonic() + 20
    found: dict[Reference, str] = {}
    while not found and time.monotonic() < deadline:
        try:
            found = get(timeout=2)
        except SecretError:
            time.sleep(0.1)
    assert found == {A: VALUE}, "it is tried again after a while"


def test_a_failure_is_not_kept_for_later(double: Double, get: Get) -> None:
    double.services.fail("ForbiddenByRbac", times=1)
    refused(get)
    assert get() == {A: VALUE}


def test_without_the_cache_each_call_asks(double: Double, get: Get) -> None:
    get(cache=False)
    get(cache=False)
    assert double.services.summary()["reads"] == {A.name: 2}


def test_another_identity_is_another_answer(double: Double, get: Get) -> None:
    double.services.managed.add("1111")
    get()
    get(client_id="1111")
    assert double.services.summary()["tokens"] == 2
    assert double.services.summary()["reads"] == {A.name: 2}
    assert "does not have that identity" in refused(get, client_id="2222")


def test_versions_are_their_own_secrets(double: Double, get: Get) -> None:
    old = double.services.secrets[A.name][0].version
    double.services.put(A.name, "newer")
    wanted = Reference(A.name, old)
    assert get(A, wanted) == {A: "newer", wanted: VALUE}
    assert get(Reference(A.name, "0" * 32)) == {}


def test_what_was_written_is_known_without_asking(double: Double, get: Get, settings: Settings, tmp_path: Path) -> None:
    assert get(Reference("new")) == {}
    version = AzureKeyVault(settings, RunCache(tmp_path / "run", b"run")).put("new", "fresh")
    assert double.services.secrets["new"][0].version == version
    assert get(Reference("new")) == {Reference("new"): "fresh"}
    assert double.services.count("vault", method="GET") == 1
    assert double.services.summary()["tokens"] == 1


def test_a_token_that_is_refused_is_replaced_once(double: Double, get: Get) -> None:
    double.services.fail("expired_token", "metadata", times=1)
    assert get() == {A: VALUE}
    assert double.services.summary()["tokens"] == 2


# Names and places


def test_underscores_and_dots_are_hyphens(double: Double, get: Get) -> None:
    double.services.put("DB-PASS-1", "x")
    assert get(Reference("DB_PASS.1")) == {Reference("DB_PASS.1"): "x"}
    assert secret_name("a_b") == "a-b"
    with pytest.raises(SecretError, match="Not a name of a secret in Azure Key Vault"):
        secret_name("a b")


@pytest.mark.parametrize(
    ("changed", "url"),
    [
        ({"vault": "Company-Prod"}, "https://company-prod.vault.azure.net"),
        ({"vault": "https://x.vault.azure.net/"}, "https://x.vault.azure.net"),
        ({"vault": "company", "cloud": "china"}, "https://company.vault.azure.cn"),
        ({"vault": "company", "cloud": "us_government"}, "https://company.vault.usgovcloudapi.net"),
        ({"vault": "company", "vault_suffix": ".vault.local"}, "https://company.vault.local"),
    ],
)
def test_a_vault_is_a_name_or_a_url(changed: dict[str, str], url: str) -> None:
    assert Settings(**changed).url(A) == url
    assert (
        Settings(vault="other").url(Reference("a", "", "https://own.vault.azure.net")) == "https://own.vault.azure.net"
    )


@pytest.mark.parametrize(
    "vault", ["http://x.vault.azure.net", "x", "a--b", "-abc", "a" * 25, "https://u@x.net", "https://x/y"]
)
def test_what_is_no_vault_is_told(vault: str) -> None:
    with pytest.raises(SecretError, match="keyvault_vault is"):
        Settings(vault=vault).url(A)


def test_a_vault_must_be_named() -> None:
    with pytest.raises(SecretError, match=r"keyvault_vault is not set.*DURABLE_KEYVAULT_VAULT"):
        Settings().url(A)


@pytest.mark.parametrize("cloud", ["us_government", "china"])
def test_the_other_clouds(double: Double, get: Get, cloud: str) -> None:
    application = double.application(secret="s")
    assert get(
        cloud=cloud, auth_method="client_secret", tenant_id=TENANT, client_id=application.client_id, client_secret="s"
    ) == {A: VALUE}
    hosts = {entry["host"] for entry in double.services.seen if entry["service"] == "token"}
    assert "login.microsoftonline.com" not in {e["host"] for e in double.services.seen if e["grant"]}
    assert hosts


def test_a_vault_behind_another_name_gets_no_token_unless_allowed(double: Double, get: Get) -> None:
    direct = {"vault": double.direct_url, "proxy": ""}
    text = refused(get, **direct)
    assert "asks for a token that is meant for vault.azure.net" in text
    assert "keyvault_verify_challenge: false" in text
    assert double.services.summary()["tokens"] == 0
    assert double.services.count("vault", authorized=True) == 0
    for _task in range(2):
        assert get(**direct, verify_challenge=False) == {A: VALUE}


@pytest.mark.parametrize("cache", [True, False])
def test_a_vault_behind_another_name_is_asked_without_a_token_once(double: Double, get: Get, cache: bool) -> None:
    others = [Reference(f"s{n}") for n in range(12)]
    for reference in others:
        double.services.put(reference.name, "x")
    direct = {"vault": double.direct_url, "proxy": "", "verify_challenge": False, "cache": cache}
    for task in ([A, *others], [Reference("none")], [A]):
        challenges.clear()  # each task is a process of its own
        get(*task, **direct)
    summary = double.services.summary()
    if cache:
        assert summary["reads"] == {A.name: 2, **{r.name: 1 for r in others}, "none": 1}
    assert summary["without_token"] == summary["tokens"] == (1 if cache else 3)


def test_what_was_learnt_without_a_check_is_not_believed_with_one(double: Double, get: Get) -> None:
    direct = {"vault": double.direct_url, "proxy": ""}
    assert get(**direct, verify_challenge=False) == {A: VALUE}
    challenges.clear()
    asked = double.services.count("vault", authorized=True)
    assert "keyvault_verify_challenge: false" in refused(get, Reference("other"), **direct)
    assert double.services.count("vault", authorized=True) == asked


# Identities


def application(double: Double, **about: Any) -> dict[str, str]:
    made = double.application(**about)
    return {"tenant_id": TENANT, "client_id": made.client_id}


def test_a_client_secret(double: Double, get: Get) -> None:
    who = application(double, secret="right")
    assert get(auth_method="client_secret", client_secret="right", **who) == {A: VALUE}
    assert "AADSTS7000215" in refused(get, auth_method="client_secret", client_secret="wrong", **who)


@pytest.mark.parametrize("registered", [True, False])
def test_a_client_certificate(double: Double, get: Get, tmp_path: Path, registered: bool) -> None:
    pair = client_pair()
    (tmp_path / "client.pem").write_text(pair.certificate + pair.key)
    who = application(double, certificate=pair.certificate if registered else client_pair().certificate)
    given = {"auth_method": "client_certificate", "client_certificate": str(tmp_path / "client.pem"), **who}
    if registered:
        assert get(**given) == {A: VALUE}
    else:
        assert "its certificate is not registered with it" in refused(get, **given)


def test_a_certificate_that_is_none(double: Double, get: Get, tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text("nothing")
    text = refused(
        get, auth_method="client_certificate", client_certificate=str(tmp_path / "client.pem"), **application(double)
    )
    assert "client.pem of keyvault_client_certificate cannot be used" in text


def test_a_workflow_of_github(double: Double, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", double.describe()["github_url"])
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", double.services.github_token)
    who = application(double, subject=double.services.github_subject)
    assert get(auth_method="oidc", **who) == {A: VALUE}
    assert double.services.count("github") == 1
    stranger = application(double, subject="repo:company/other:ref:refs/heads/main")
    assert "no federated credential of it fits the workflow" in refused(get, auth_method="oidc", **stranger)
    assert "AADSTS700212" in refused(get, auth_method="oidc", oidc_audience="api://other", **who)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong")
    assert "GitHub's token service answered 401" in refused(get, auth_method="oidc", oidc_audience="x", **who)


def test_a_workflow_that_may_not_ask(get: Get, double: Double) -> None:
    text = refused(get, auth_method="oidc", **application(double))
    assert "permissions: {id-token: write}" in text


def test_workload_identity(double: Double, get: Get, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(double.services.id_token("api://AzureADTokenExchange"))
    who = application(double, subject=double.services.github_subject)
    given = {"auth_method": "workload_identity", "federated_token_file": str(tmp_path / "token"), **who}
    assert get(**given) == {A: VALUE}
    assert "which is no file" in refused(get, **{**given, "federated_token_file": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("oidc", ["tenant_id", "client_id"]),
        ("client_secret", ["tenant_id", "client_id", "client_secret"]),
        ("client_certificate", ["tenant_id", "client_id", "client_certificate"]),
        ("workload_identity", ["tenant_id", "client_id", "federated_token_file"]),
    ],
)
def test_what_a_method_needs_is_named(get: Get, method: str, names: list[str]) -> None:
    text = refused(get, auth_method=method)
    assert f"keyvault_auth_method is {method}" in text
    for name in names:
        assert f"keyvault_{name}" in text


def test_the_azure_cli(double: Double, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = double.services.issue("https://vault.azure.net", "somebody")
    az = tmp_path / "bin" / "az"
    az.parent.mkdir()
    az.write_text(
        '#!/bin/sh\n[ "$1 $2" = "account get-access-token" ] || exit 1\n'
        f'echo \'{{"accessToken": "{token}", "expires_on": {int(time.time()) + 3600}}}\'\n'
    )
    az.chmod(0o755)
    monkeypatch.setenv("PATH", f"{az.parent}:/usr/bin:/bin")
    assert get(auth_method="cli") == {A: VALUE}
    az.write_text("#!/bin/sh\necho \"Please run 'az login' to setup account.\" >&2\nexit 1\n")
    text = refused(get, auth_method="cli", tenant_id=TENANT)
    assert "the Azure CLI is not logged in" in text
    az.unlink()
    assert "the Azure CLI is not installed" in refused(get, auth_method="cli", tenant_id=OTHER_TENANT)


GITHUB = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}
WHO = {"tenant_id": "t", "client_id": "c"}


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({**WHO, "client_secret": "s", "federated_token_file": "f"}, GITHUB, "oidc"),
        ({**WHO, "oidc_token": "o"}, {}, "oidc"),
        ({**WHO, "client_secret": "s", "federated_token_file": "f"}, {}, "workload_identity"),
        ({**WHO, "client_secret": "s", "client_certificate": "f"}, {}, "client_secret"),
        ({**WHO, "client_certificate": "f"}, {}, "client_certificate"),
        ({"client_id": "c"}, {"IDENTITY_ENDPOINT": "x", **GITHUB}, "managed_identity"),
        ({}, GITHUB, "cli_or_managed_identity"),
    ],
)
def test_auto_is_the_documented_order(given: dict[str, str], environ: dict[str, str], expected: str) -> None:
    assert identities._automatic(Settings(**given), environ) == expected


def test_auto_without_anything_says_all_that_is_missing(
    double: Double, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(identities, "METADATA", "http://127.0.0.1:9")
    text = refused(get, auth_method="auto")
    assert "no application is configured, the Azure CLI is not installed, and there is no answer from" in text


def test_a_machine_outside_of_azure_does_not_wait(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    began = time.monotonic()
    text = refused(get)
    assert "There is no identity to ask durable-local.vault.azure.net with" in text
    assert "az vm identity assign" in text
    assert time.monotonic() - began < 20, "as long as the SDK would have asked"


def test_a_busy_metadata_service_is_asked_again(double: Double, get: Get) -> None:
    double.services.fail("throttle", "metadata", times=1, retry_after="0")
    assert get() == {A: VALUE}


# What goes wrong at the vault


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ForbiddenByRbac", ["no role gives it that", "az role assignment create", "Key Vault Secrets User"]),
        ("AccessDenied", ["access policy does not allow it", "az keyvault set-policy --name durable-local"]),
        ("ForbiddenByFirewall", ["does not let 203.0.113.9 in", "az keyvault network-rule add"]),
        ("ForbiddenByConnection", ["only through its private endpoint"]),
        ("SecretDisabled", ["is disabled", "--enabled true"]),
        ("SecretExpired", ["has expired", "keyvault_allow_expired: true"]),
        ("unavailable", ["was out of order each time", "503"]),
        ("reset", ["broke off each time"]),
        ("hang", ["did not answer within 2 s", "keyvault_timeout"]),
        ("trickle", ["did not answer within 2 s"]),
        ("throttle", ["still says that it is asked too often after 2 s"]),
        ("wrong_challenge", ["meant for vault.attacker.example", "got none"]),
    ],
)
def test_each_failure_has_its_sentence(double: Double, get: Get, kind: str, words: list[str]) -> None:
    double.services.fail(kind, seconds=10)
    began = time.monotonic()
    text = refused(get, timeout=2 if kind in ("hang", "trickle", "throttle") else 20, retries=1)
    assert time.monotonic() - began < 30
    for word in words:
        assert word in text
    assert "durable-local.vault.azure.net" in text
    assert "managed identity of this machine" in text
    if kind in ("ForbiddenByRbac", "AccessDenied", "SecretDisabled", "SecretExpired"):
        assert A.name in text


def test_all_that_are_forbidden_are_told_together(double: Double, get: Get) -> None:
    for name in ("one", "two"):
        double.services.put(name, "x")
        double.services.fail("SecretDisabled", name=name)
    text = refused(get, A, Reference("one"), Reference("two"))
    assert "the secret one of" in text.replace("The", "the")
    assert "the secret two of" in text.replace("The", "the")


def test_dates_count_unless_they_are_allowed_not_to(double: Double, get: Get) -> None:
    now = int(time.time())
    double.services.put("old", "o", expires=now - 10)
    double.services.put("early", "e", starts=now + 1000)
    double.services.put("good", "g", starts=now - 10, expires=now + 1000)
    assert "has expired on 20" in refused(get, Reference("old"))
    assert "is not valid before 20" in refused(get, Reference("early"))
    assert get(Reference("good")) == {Reference("good"): "g"}
    assert get(Reference("old"), Reference("early"), allow_expired=True) == {
        Reference("old"): "o",
        Reference("early"): "e",
    }
    # What was allowed once is not allowed for everybody.
    assert "has expired" in refused(get, Reference("old"))


def test_a_disabled_version_is_told(double: Double, get: Get) -> None:
    double.services.put("off", "x", enabled=False)
    assert "is disabled" in refused(get, Reference("off"))


@pytest.mark.parametrize("kind", ["reset", "unavailable", "hang"])
def test_one_failure_is_no_failure(double: Double, get: Get, kind: str) -> None:
    double.services.fail(kind, times=1)
    assert get(timeout=4) == {A: VALUE}


def test_a_vault_that_throttles_is_waited_for(double: Double, get: Get) -> None:
    double.services.fail("throttle", seconds=1.5, retry_after="1")
    # More refusals than further tries: being told to wait is no failure.
    assert get(retries=0) == {A: VALUE}
    assert double.services.count("vault", status=429) >= 2


def test_a_wait_that_is_longer_than_the_timeout_is_not_begun(double: Double, get: Get) -> None:
    double.services.fail("throttle", retry_after="3600")
    assert "asked too often" in refused(get)
    assert double.services.count("vault") == 1


def test_an_identity_of_another_tenant(double: Double, get: Get) -> None:
    made = double.application(secret="s", tenant=OTHER_TENANT)
    who = {"auth_method": "client_secret", "client_id": made.client_id, "client_secret": "s"}
    text = refused(get, tenant_id=OTHER_TENANT, **who)
    assert f"belongs to the tenant {TENANT}" in text
    assert "Set keyvault_tenant_id" in text
    assert "no such application in that tenant" in refused(get, tenant_id=TENANT, **who)
    assert "does not know the tenant of the application" in refused(
        get, tenant_id="72f988bf-0000-4000-8000-00000000ffff", **who
    )


def test_a_token_that_is_always_out_of_date(double: Double, get: Get) -> None:
    double.services.fail("expired_token", "metadata")
    assert "Look at the clock of this machine" in refused(get)


def test_a_name_without_an_address(get: Get) -> None:
    text = refused(get, vault="https://no-such.vault.invalid", proxy="", timeout=20)
    assert "The name no-such.vault.invalid has no address" in text
    assert "Correct keyvault_vault" in text


def test_a_certificate_of_somebody_else(double: Double, get: Get, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_text(Authority("somebody else").certificate)
    text = refused(get, ca_certificate=str(tmp_path / "other.pem"))
    assert "The TLS certificate of durable-local.vault.azure.net is not accepted" in text
    assert "keyvault_ca_certificate" in text
    assert double.services.count("vault") == 0
    assert "which is no file" in refused(get, ca_certificate=str(tmp_path / "none.pem"))


def test_a_proxy_that_does_not_let_through(double: Double, get: Get) -> None:
    text = refused(get, vault="unknown-vault")
    assert "The proxy did not let through to unknown-vault.vault.azure.net (it answered 502)" in text


def test_a_proxy_that_is_not_there(get: Get) -> None:
    text = refused(get, proxy="http://127.0.0.1:9")
    assert "refused" in text
    assert "keyvault_proxy" in text


def test_an_authority_that_nobody_knows(double: Double, get: Get) -> None:
    who = {"auth_method": "client_secret", "client_secret": "s", **application(double, secret="s")}
    text = refused(get, authority="login.company.example", **who)
    assert "login.company.example is no place that is known to give tokens" in text
    assert "keyvault_instance_discovery: false" in text


def test_an_own_authority_that_microsoft_cannot_be_asked_about(
    double: Double, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inside(host: str, *about: Any, **more: Any) -> list[Any]:
        if host.endswith("microsoftonline.com"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return addresses(host, *about, **more)

    addresses = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", inside)
    who = {"auth_method": "client_secret", "client_secret": "s", **application(double, secret="s")}
    own = {"authority": double.direct_url, "vault": double.direct_url, "proxy": "", "verify_challenge": False}
    text = refused(get, **own, **who)
    assert f"keyvault_authority is {double.direct_url} and keyvault_instance_discovery is true" in text
    assert "login.microsoftonline.com is asked" in text
    assert "Set keyvault_instance_discovery: false" in text
    assert "believed" not in text
    assert get(**own, **who, instance_discovery=False) == {A: VALUE}


@pytest.mark.parametrize(
    ("authority", "step"),
    [
        ("localhost:8446", "Write https://localhost:8446."),
        ("login.company.example:8443", "Write https://login.company.example:8443."),
        ("127.0.0.1:8446", "Write https://127.0.0.1:8446."),
        ("http://login.company.example/", "Write https://login.company.example."),
        ("https://login.company.example/adfs", "Correct it."),
        ("https://me:word@login.company.example", "Correct it."),
        ("https://", "Correct it."),
    ],
)
def test_what_is_no_authority_is_told(double: Double, get: Get, authority: str, step: str) -> None:
    who = {"auth_method": "client_secret", "client_secret": "s", **application(double, secret="s")}
    text = refused(get, authority=authority, instance_discovery=False, **who)
    assert text.startswith(f"keyvault_authority is {authority!r}; expected the URL")
    assert step in text
    assert double.services.count("token") == 0


@pytest.mark.parametrize("authority", ["login.company.example", "https://login.company.example/", "https://[::1]:8446"])
def test_an_authority_is_a_host_or_a_url(authority: str) -> None:
    url = Settings(authority=authority).authority_url
    assert url == f"https://{authority.removeprefix('https://').rstrip('/')}"


def test_an_authority_that_does_not_answer_is_named(double: Double, get: Get) -> None:
    who = {"auth_method": "client_secret", "client_secret": "s", **application(double, secret="s")}
    text = refused(get, authority="https://127.0.0.1:9", instance_discovery=False, proxy="", **who)
    assert "The connection to 127.0.0.1:9 was refused" in text
    assert "keyvault_authority" in text
    double.services.fail("reset", "token")
    told = refused(get, **who)
    assert "The connection to login.microsoftonline.com broke off each time" in told


def test_an_authority_that_fails_once_is_asked_again(double: Double, get: Get) -> None:
    who = {"auth_method": "client_secret", "client_secret": "s", **application(double, secret="s")}
    double.services.fail("reset", "token", times=1)
    assert get(**who) == {A: VALUE}


def test_an_application_that_is_not_known_is_named(double: Double, get: Get) -> None:
    who = {"auth_method": "client_secret", "client_secret": "s", "tenant_id": TENANT}
    text = refused(get, client_id="orders", **who)
    assert "that is no id of an application; expected a UUID. Correct keyvault_client_id (AADSTS700038)." in text
    assert "application orders of the tenant" in text
    unknown = "00000000-0000-4000-8000-000000000000"
    assert "there is no such application in that tenant" in refused(get, client_id=unknown, **who)


def test_a_refusal_of_the_token_service_that_nobody_knows_is_quoted(double: Double, get: Get) -> None:
    who = application(double, secret="the-secret-of-the-application")
    double.services.fail("unknown_refusal", "token")
    text = refused(get, auth_method="client_secret", client_secret="the-secret-of-the-application", **who)
    assert (
        f"login.microsoftonline.com answered \"AADSTS999123: Nobody has heard of '{who['client_id']}' with '…'.\""
        in text
    )
    assert "keyvault_client_id" in text
    assert "the-secret-of-the-application" not in text
    assert "Trace ID" not in text


def test_a_tenant_that_cannot_be_one(double: Double, get: Get) -> None:
    who = {**application(double, secret="s"), "tenant_id": "our company"}
    text = refused(get, auth_method="client_secret", client_secret="s", **who)
    assert "keyvault_tenant_id is not an id of a tenant" in text
    assert "our company" in text


def test_a_refusal_without_a_code_keeps_the_words_of_the_vault(double: Double, get: Get) -> None:
    double.services.fail("ForbiddenPlain")
    text = refused(get)
    assert 'the vault answered 403 Forbidden, "Operation get is not allowed on a disabled secret."' in text
    assert "az keyvault secret list-versions --vault-name durable-local --name database-password" in text
    assert "Look whether this is an Azure Key Vault" not in text


def test_the_words_of_a_vault_show_no_token_and_are_short(double: Double, get: Get, settings: Settings) -> None:
    double.services.fail("ForbiddenEcho")
    text = refused(get)
    assert '403 Forbidden, "Refused: … …".' in text
    with pytest.raises(SecretError) as caught:
        AzureKeyVault(replace(settings, cache=False)).put("x", VALUE)
    assert "the vault answered 403 Forbidden." in str(caught.value)
    assert VALUE not in str(caught.value)


def test_a_version_of_the_api_that_is_none(double: Double, get: Get) -> None:
    assert get(api_version="7.4") == {A: VALUE}
    assert "keyvault_api_version" in refused(get, Reference("x"), api_version="7.99")


def test_a_server_that_is_no_vault(double: Double, get: Get) -> None:
    double.services.fail("nonsense")
    assert "keyvault_vault" in refused(get)


def test_what_keeps_from_writing(double: Double, settings: Settings) -> None:
    source = AzureKeyVault(replace(settings, cache=False))
    double.services.fail("ForbiddenByRbac")
    with pytest.raises(SecretError, match=r"may not set the secret x of .*Key Vault Secrets Officer"):
        source.put("x", VALUE)
    double.services.heal()
    double.services.fail("Deleted")
    with pytest.raises(SecretError, match=r"az keyvault secret recover --vault-name durable-local --name x") as caught:
        source.put("x", VALUE)
    assert VALUE not in str(caught.value)


WITHOUT = """
import sys
sys.modules["azure.identity"] = None
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault import AzureKeyVault
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import Settings
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Reference, SecretError
try:
    AzureKeyVault(Settings(vault="company")).get([Reference("x")])
except SecretError as error:
    print(error)
"""


def test_without_the_sdk_it_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "azure-identity and azure-keyvault-secrets on the controller, and azure.identity is missing" in done.stdout
    assert f"{sys.executable} -m pip install azure-identity azure-keyvault-secrets" in done.stdout


def test_a_value_that_is_known_needs_no_sdk(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    get()
    monkeypatch.setattr(_key_vault, "_module", lambda name: pytest.fail(f"{name} was needed"))
    assert get() == {A: VALUE}


def test_a_remedy_is_a_command(settings: Settings) -> None:
    source = AzureKeyVault(settings)
    assert source.remedy(Reference("DB_X")) == (
        "store it in durable-local.vault.azure.net as DB-X "
        "(az keyvault secret set --vault-name durable-local --name DB-X --file …)"
    )
    assert "another version than 12" in source.remedy(Reference("x", "12"))


def test_secrets_of_the_settings_are_not_shown() -> None:
    shown = repr(Settings(client_secret=VALUE, client_certificate_password=VALUE, oidc_token=VALUE))
    assert VALUE not in shown


def test_a_renewal_is_begun_once_and_settled(double: Double, get: Get, settings: Settings, tmp_path: Path) -> None:
    name = "kept"
    double.services.put(name, "old", tags={"owner": "orders"}, content_type="text/plain")

    def source(value: str) -> AzureKeyVault:
        return AzureKeyVault(settings, RunCache(tmp_path / "run", b"run"), make=lambda: value)

    assert get(Reference(name)) == {Reference(name): "old"}
    assert not source("x").renewing(name)
    source("x").settle(name)
    source("new").renew(name)
    # Another run that was asked for a new one finishes what was begun.
    source("newer").renew(name)
    assert source("x").renewing(name)
    assert get(Reference(name)) == {Reference(name): "new"}
    source("x").settle(name)
    assert not source("x").renewing(name)
    versions = double.services.secrets[name]
    assert [(v.value, v.tags, v.content_type) for v in versions] == [
        ("old", {"owner": "orders"}, "text/plain"),
        ("new", {"owner": "orders"}, "text/plain"),
    ]
    source("newer").renew(name)
    assert versions[-1].value == "newer"
    source("first").renew("not-there-yet")
    assert double.services.secrets["not-there-yet"][0].value == "first"
    assert isinstance(source("x"), Renewable)


def test_a_renewal_that_is_not_allowed_is_told(double: Double, settings: Settings) -> None:
    double.services.fail("ForbiddenByRbac", method="PUT")
    with pytest.raises(SecretError, match=r"may not set the secret database-password .*Key Vault Secrets Officer"):
        AzureKeyVault(replace(settings, cache=False)).renew(A.name)
    assert len(double.services.secrets[A.name]) == 1


def test_seeding_sets_what_is_missing_and_changes_nothing(
    double: Double, get: Get, settings: Settings, tmp_path: Path
) -> None:
    source = AzureKeyVault(settings, RunCache(tmp_path / "run", b"run"))
    assert get(Reference("by-hand"), Reference("new_one")) == {}
    double.services.put("by-hand", "set by somebody else since")
    wanted = {A.name: lambda: "other", "by-hand": lambda: "other", "new_one": lambda: "made"}
    assert source.seed(wanted, write=False) == ["new_one"]
    assert "new-one" not in double.services.secrets
    assert source.seed(wanted) == ["new_one"]
    assert source.seed(wanted) == []
    kept = {name: [v.value for v in versions] for name, versions in double.services.secrets.items()}
    assert kept == {A.name: [VALUE], "by-hand": ["set by somebody else since"], "new-one": ["made"]}
    assert get(Reference("new_one")) == {Reference("new_one"): "made"}
