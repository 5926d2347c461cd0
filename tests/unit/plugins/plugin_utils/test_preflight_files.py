# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that an option names and that somebody else puts on a host, judged before anything is changed."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _kinds as kinds
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets as secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_files import check_contents, check_files
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_roles import read_specs

Json = dict[str, t.Any]
TLS = {"certificate": "/etc/ssl/orders.pem", "key": "/etc/ssl/orders.key"}
THERE = {"/etc/ssl/orders.pem": ["CERTIFICATE", "CERTIFICATE"], "/etc/ssl/orders.key": ["PRIVATE KEY"]}


def site(tls: Json) -> Json:
    return {"name": "orders", "kind": "app", "tls": tls}


def check(values: Json, files: Json, roles: t.Sequence[str] = ("nginx", "postgres"), privileged: bool = True) -> Json:
    found = check_files(roles, values, {"privileged": privileged, "pem_files": files})
    return {problem.about: problem.text for problem in found}


@pytest.mark.parametrize("label", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])
def test_files_that_are_there_are_fine(label: str) -> None:
    files = {**THERE, "/etc/ssl/orders.key": ["EC PARAMETERS", label], "/etc/ssl/db.pem": ["CERTIFICATE"]}
    assert check({"nginx_sites": [site(TLS)], "postgres_ca_cert": "/etc/ssl/db.pem"}, files) == {}


def test_a_certificate_and_a_key_that_are_not_there_are_told_once_by_the_name_that_users_set() -> None:
    told = check({"nginx_sites": [site(TLS), site(TLS)], "topology_tls": TLS}, dict.fromkeys(THERE))
    assert list(told) == ["topology_tls.certificate", "topology_tls.key"]
    assert told["topology_tls.certificate"] == (
        "topology_tls.certificate is '/etc/ssl/orders.pem', and there is no such file on the host; expected a PEM file "
        "with the certificate and its chain. Put it there first, or correct the path."
    )
    told = check({"nginx_sites": [site({}), site(TLS)], "topology_tls": {}}, {**THERE, "/etc/ssl/orders.key": None})
    assert list(told) == ["nginx_sites[1].tls.key"]


@pytest.mark.parametrize(
    ("files", "about", "holds"),
    [
        ({"/etc/ssl/orders.pem": ["PRIVATE KEY"]}, "certificate", "which holds PRIVATE KEY"),
        ({"/etc/ssl/orders.key": ["CERTIFICATE", "CERTIFICATE"]}, "key", "which holds CERTIFICATE;"),
        ({"/etc/ssl/orders.key": ["ENCRYPTED PRIVATE KEY"]}, "key", "which holds ENCRYPTED PRIVATE KEY"),
        ({"/etc/ssl/orders.key": []}, "key", "which holds nothing of PEM"),
    ],
)
def test_what_holds_something_else_is_told(files: Json, about: str, holds: str) -> None:
    told = check({"nginx_sites": [site(TLS)], "topology_tls": TLS}, {**THERE, **files})
    assert list(told) == [f"topology_tls.{about}"]
    assert holds in told[f"topology_tls.{about}"]


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
KEY = CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY")


@pytest.mark.parametrize(
    ("certificate", "key", "found"),
    [
        (CERTIFICATE, KEY, {}),
        (CERTIFICATE.replace("\n", "\r\n"), KEY, {}),
        (KEY, CERTIFICATE, {"certificate": "PRIVATE KEY", "key": "CERTIFICATE"}),
        ("c4n4ry", KEY, {"certificate": "nothing of PEM"}),
        (CERTIFICATE, KEY.replace("\n", "\\n"), {"key": "nothing of PEM"}),
        (CERTIFICATE, KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), {"key": "ENCRYPTED PRIVATE KEY"}),
    ],
)
def test_texts_that_are_no_certificate_or_key_are_told_and_not_shown(certificate: str, key: str, found: Json) -> None:
    tls = {**TLS, "certificate_content": certificate, "key_content": key}
    told = check_contents(["nginx"], {"nginx_sites": [site(tls), site(tls)], "topology_tls": tls})
    assert {p.about: p.text.partition(";")[0] for p in told} == {
        f"topology_tls.{what}_content": f"topology_tls.{what}_content is a text that holds {holds}"
        for what, holds in found.items()
    }
    assert "c4n4ry" not in str(told)
    assert check_contents(["postgres"], {"nginx_sites": [site(tls)]}) == []


def test_authorities_for_the_database_that_are_not_there_are_told() -> None:
    (text,) = check({"postgres_ca_cert": "/etc/ssl/db.pem"}, {"/etc/ssl/db.pem": None}).values()
    assert text.startswith(
        "postgres_ca_cert is '/etc/ssl/db.pem', and there is no such file on the host; expected a PEM"
    )


def test_what_is_written_not_used_or_cannot_be_seen_is_not_judged() -> None:
    values = {"nginx_sites": [site({**TLS, "certificate_content": "a", "key_content": "b"})]}
    assert check(values, dict.fromkeys(THERE)) == {}
    values = {"nginx_sites": [site(TLS)], "postgres_ca_cert": ""}
    assert check(values, dict.fromkeys(THERE), roles=["app_release"]) == {}
    assert check(values, dict.fromkeys(THERE), privileged=False) == {}
    assert check(values, {}) == {}
    assert check({"nginx_sites": [None, {"tls": "x"}, {}]}, {}) == {}


# Every option that names a file or a directory, and what is known before the run. A new one must be added here, and looked
# for if something else must have put it there.
BEFOREHAND = {
    "on the host: _preflight_files": "nginx_sites.tls.certificate nginx_sites.tls.key postgres_ca_cert",
    "on the controller: _preflight_sources": """
        host_ca_certificates topology_ca_certificates topology_artifact_directory postgres_artifact_directory
        temporal_artifact_directory temporal_client_artifact_directory temporal_ui_artifact_directory""",
    "on the controller: _preflight_platform.check_artifacts": "applications.artifact",
    # Preflight asks for every secret, and the identity says which file is not there.
    "on the controller: _key_vault_identity": """
        keyvault_ca_certificate keyvault_client_certificate keyvault_federated_token_file""",
    "made by the run": """
        applications.root host_directories postgres_data_directory postgres_directory secrets_directory status_report
        temporal_directory temporal_ui_directory topology_root""",
    "measured, or its nearest parent": "preflight_paths status_paths",
    "compared with what runs": "status_node",
    # nginx answers 404 below it until the client of ACME has put something there.
    "may come later": "nginx_acme_webroot",
    "no file": "nginx_sites.health_path topology_temporal_connection.api_key docker_log_max_files",
}
_PLACE = re.compile(r"(director(y|ies)|files?|certs?|certificates?|keys?|paths?|artifact|webroot)$")


def _options(spec: t.Mapping[str, Json], path: str = "") -> t.Iterator[tuple[str, Json]]:
    for name, option in spec.items():
        label = f"{path}.{name}" if path else name
        yield kinds.plain_name(label), option
        yield from _options(option.get("options") or {}, label)


def test_of_every_declared_file_it_is_known_who_looks_for_it() -> None:
    specs = [spec for entries in read_specs().values() for spec in entries.values()]
    found = {
        name
        for spec in (*specs, secrets.SPEC)
        for name, option in _options(spec)
        if "path" in (option.get("type"), option.get("elements"))
        or kinds.KINDS.get(name) is kinds.PATH
        or _PLACE.search(name)
    }
    assert found == {name for names in BEFOREHAND.values() for name in names.split()}
