# SPDX-License-Identifier: GPL-3.0-or-later
"""Where images and programs come from, judged before anything is changed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_images import POSTGRES_SUITES
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_sources import (
    SOURCES,
    check_certificates,
    check_sources,
)

ROLES = list(SOURCES)


def values(source: str, directory: str = "", **more: t.Any) -> dict[str, t.Any]:
    """What the defaults make of one choice of the user."""
    postgres = {"registry": "registry", "archive": "archive"}.get(source, "debian")
    return {
        "topology_artifact_source": source,
        "topology_artifact_directory": directory,
        "postgres_version": "17",
        **{one: source for one, _directory in SOURCES.values()},
        **{one: directory for _source, one in SOURCES.values()},
        "postgres_image_source": postgres,
        **more,
    }


def check(given: dict[str, t.Any], roles: t.Sequence[str] = tuple(ROLES)) -> list[str]:
    return [
        problem.text
        for problem in check_sources(roles, given, lambda path: "" if path == "/srv/artifacts" else f"/here/{path}")
    ]


@pytest.mark.parametrize("source", ["registry", "release", "go_module"])
def test_sources_that_need_no_directory_fit(source: str) -> None:
    assert check(values(source)) == []


def test_an_archive_needs_its_directory() -> None:
    assert check(values("archive", "/srv/artifacts")) == []
    (text,) = check(values("archive"))
    assert text.startswith("topology_artifact_directory is empty; expected the directory on the controller with the")
    assert "as topology_artifact_source is archive" in text
    (text,) = check(values("archive", "/srv/nosuch"))
    assert text.startswith(
        "topology_artifact_directory is '/srv/nosuch', and there is no directory /here//srv/nosuch on the"
    )
    assert text.endswith("a relative path begins where ansible-playbook is run.")


def test_the_directory_of_one_role_is_named() -> None:
    own = values("registry", postgres_image_source="archive", postgres_artifact_directory="/srv/pg")
    (text,) = check(own)
    assert text.startswith("postgres_artifact_directory is '/srv/pg', and there is no directory")
    assert "Set it, or another postgres_image_source;" in text
    assert check(own, ["temporal"]) == []
    assert check({**own, "postgres_runtime": "external"}) == []


@pytest.mark.parametrize("version", ["15", "16", "17", "18"])
def test_a_postgresql_that_debian_does_not_have_is_refused(version: str) -> None:
    texts = check(values("go_module", postgres_version=version))
    assert bool(texts) == (version not in POSTGRES_SUITES)
    for text in texts:
        assert text == (
            f"postgres_version is '{version}'; expected 15 or 17: topology_artifact_source is go_module, so that the image "
            "is made from Debian's packages, which have these. Choose one of them, or set postgres_image_source to "
            "registry or archive."
        )


def test_other_sources_have_every_postgresql() -> None:
    assert check(values("registry", postgres_version="16")) == []
    assert check(values("archive", "/srv/artifacts", postgres_version="16")) == []
    assert check(values("go_module", postgres_version="16"), ["temporal"]) == []
    assert check(values("go_module", postgres_version="16", postgres_runtime="external")) == []
    (text,) = check(values("registry", postgres_version="16", postgres_image_source="debian"))
    assert "postgres_image_source is debian" in text


def test_certificates_that_are_not_there_are_told() -> None:
    def missing(path: str) -> str:
        return f"/here/{path}" if path == "nosuch.pem" else ""

    given = {"host_ca_certificates": ["/etc/ca.pem", "nosuch.pem"], "topology_ca_certificates": []}
    (own,) = check_certificates(["host"], given, missing)
    assert own.text == (
        "host_ca_certificates[1] is 'nosuch.pem', and there is no file /here/nosuch.pem on the controller; expected a PEM "
        "file of certificates. Correct the path; a relative one begins where ansible-playbook is run."
    )
    (shared,) = check_certificates(
        ["host"], {**given, "topology_ca_certificates": given["host_ca_certificates"]}, missing
    )
    assert shared.about == "topology_ca_certificates[1]"
    assert check_certificates(["nginx"], given, missing) == []
