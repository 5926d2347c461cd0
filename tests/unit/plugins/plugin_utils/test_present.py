# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight has seen spares a task its question; what it has not seen does not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _certificates
from ansible_collections.durable.temporal.plugins.plugin_utils._present import (
    REGISTERED,
    artifacts_present,
    certificates_present,
    packages_present,
)
from hypothesis import given
from hypothesis import strategies as st

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
FINGERPRINTS = _certificates.fingerprints(PEM)
ENVIRONMENT = {"PIP_CERT": "/etc/ssl/certs/ca-certificates.crt"}
IMAGE = {"artifact": "ui 2.56.0 (release)", "id": "sha256:1"}
PACKAGE = {"artifact": "npm 10.9.9 (npm)", "links": {}}
PROBE: dict[str, t.Any] = {
    "os": {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"},
    "dpkg": "nginx\tamd64\tinstalled\t1.26.3-3\thttpd\nnodejs\tamd64\tinstalled\t20.19.2+dfsg-1\t\n",
    "artifacts": {
        "machine": "x86_64",
        "docker": "",
        "binaries": {},
        "images": {"ui:2": IMAGE, "server:1": IMAGE},
        "packages": {"/opt/npm": PACKAGE},
    },
    "certificates": {
        "files": {"/usr/local/share/ca-certificates/durable-temporal-company.crt": FINGERPRINTS},
        "bundle": ["0" * 16, *FINGERPRINTS],
        "environment": _certificates.environment_block(ENVIRONMENT),
    },
}


def seen(**changed: t.Any) -> dict[str, t.Any]:
    return {REGISTERED: {**PROBE, **changed}}


@pytest.mark.parametrize(
    "options",
    [
        {"name": ["nginx", "httpd"]},
        {"name": ["nodejs>=20", "nodejs>=18"]},
        {"by_release": {"debian-13": ["nginx"], "debian-12": ["unheard-of"]}},
        {"name": []},
    ],
)
def test_packages_that_were_seen_need_no_question(options: dict[str, t.Any]) -> None:
    assert packages_present(options, seen()) == {
        "changed": False,
        "missing": [],
        "release": {"id": "debian", "version": "13", "codename": "trixie", "name": "debian-13"},
    }


@pytest.mark.parametrize(
    "name",
    ["unheard-of", "nodejs>=21", "nodejs>=20.19", "httpd>=1", "nginx=1.27*", "ngin*", "/srv/nginx.deb"],
)
def test_the_host_is_asked_for_what_was_not_seen_or_cannot_be_told(name: str) -> None:
    assert packages_present({"name": ["nginx", name]}, seen()) is None


@pytest.mark.parametrize("variables", [{}, {REGISTERED: {"unreachable": True}}, seen(dpkg="")])
def test_a_run_without_preflight_asks_for_everything(variables: dict[str, t.Any]) -> None:
    assert packages_present({"name": []}, variables) is None
    assert artifacts_present({"binaries": [], "images": [], "packages": []}, {REGISTERED: {}}) is None
    assert not certificates_present({}, {REGISTERED: {}})


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["", ".1", "+dfsg-1", "-1"]))
def test_without_dpkg_only_whole_numbers_are_compared(have: int, wanted: int, rest: str) -> None:
    probe = seen(dpkg=f"nodejs\tamd64\tinstalled\t{have}{rest}\t\n")
    assert (packages_present({"name": [f"nodejs>={wanted}"]}, probe) is not None) is (have >= wanted)


@pytest.mark.parametrize("version", ["20~rc1", "1:20.1", "~20", ""])
def test_a_version_that_cannot_be_judged_is_left_to_dpkg(version: str) -> None:
    probe = seen(dpkg=f"nodejs\tamd64\tinstalled\t{version}\t\n")
    assert packages_present({"name": ["nodejs>=1"]}, probe) is None


def test_images_and_packages_of_npm_that_were_seen_need_no_question() -> None:
    asked = {"binaries": [], "images": ["ui:2"], "packages": [{"name": "npm", "dest": "/opt/npm", "links": []}]}
    found = artifacts_present(asked, seen())
    assert found is not None
    assert (found["images"], found["packages"]) == ({"ui:2": IMAGE}, {"/opt/npm": PACKAGE})
    assert artifacts_present({**asked, "images": ["ui:2", "ui:3"]}, seen()) is None
    assert artifacts_present({**asked, "binaries": ["/usr/local/bin/temporal"]}, seen()) is None


def certificates(**changed: t.Any) -> dict[str, t.Any]:
    return seen(certificates={**PROBE["certificates"], **changed})


def test_certificates_that_were_seen_need_no_question() -> None:
    wanted = {"certificates": [{"name": "company", "content": PEM}], "environment": ENVIRONMENT}
    assert certificates_present(wanted, seen())
    assert not certificates_present({**wanted, "environment": {}}, seen())
    assert not certificates_present({**wanted, "bundle": "/elsewhere"}, seen())
    assert not certificates_present(wanted, certificates(files={}))
    assert not certificates_present(wanted, certificates(bundle=[]))
    assert not certificates_present(wanted, certificates(environment=[]))


def test_a_text_without_a_certificate_is_left_to_the_module_which_refuses_it() -> None:
    wanted = {"certificates": [{"name": "company", "content": "none"}], "environment": ENVIRONMENT}
    assert not certificates_present(
        wanted, certificates(files={"/usr/local/share/ca-certificates/durable-temporal-company.crt": []})
    )
