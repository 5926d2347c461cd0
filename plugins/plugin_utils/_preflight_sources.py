# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges before anything is changed where images and programs are to come from.

Private to this collection. Pure: plain data in, problems out.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_images import POSTGRES_SUITES
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, describe, wrong

# Role → the variables that say where its things come from, and from which directory.
SOURCES = {
    "postgres": ("postgres_image_source", "postgres_artifact_directory"),
    "temporal": ("temporal_artifact_source", "temporal_artifact_directory"),
    "temporal_ui": ("temporal_ui_artifact_source", "temporal_ui_artifact_directory"),
    "temporal_client": ("temporal_client_artifact_source", "temporal_client_artifact_directory"),
}
SHARED_SOURCE, SHARED_DIRECTORY = "topology_artifact_source", "topology_artifact_directory"


def check_sources(
    roles: t.Collection[str], values: Mapping[str, t.Any], missing: Callable[[str], str]
) -> list[Problem]:
    """A release that the source does not have, and a directory of archives that is not there.

    :param roles: those of the host.
    :param values: rendered options of these roles.
    :param missing: a path → the absolute path on the controller at which there is no directory, or empty.
    """
    problems: dict[str, Problem] = {}
    for role, (source, directory) in SOURCES.items():
        if role not in roles or values.get(f"{role}_runtime") == "external" or values.get(source) != "archive":
            continue
        named = str(values.get(directory) or "")
        if named and not missing(named):
            continue
        # Roles that take the platform's directory have one problem together.
        variable = SHARED_DIRECTORY if named == str(values.get(SHARED_DIRECTORY) or "") else directory
        decides = SHARED_SOURCE if values.get(SHARED_SOURCE) == "archive" else source
        found = describe(named) + (f", and there is no directory {missing(named)} on the controller" if named else "")
        expected = f"the directory on the controller with the archives, as {decides} is archive"
        step = f"Set it, or another {decides}; a relative path begins where ansible-playbook is run."
        problems.setdefault(variable, wrong(variable, found, expected, step))
    return [*problems.values(), *_check_postgres(roles, values)]


def check_certificates(
    roles: t.Collection[str], values: Mapping[str, t.Any], missing: Callable[[str], str]
) -> list[Problem]:
    """Certificates to trust whose files are not there.

    :param missing: a path → the absolute path on the controller at which there is no file, or empty.
    """
    declared = values.get("host_ca_certificates")
    if "host" not in roles or not isinstance(declared, list):
        return []
    shared = declared == values.get("topology_ca_certificates")
    variable = "topology_ca_certificates" if shared else "host_ca_certificates"
    step = "Correct the path; a relative one begins where ansible-playbook is run."
    return [
        wrong(
            f"{variable}[{index}]",
            f"{describe(path)}, and there is no file {looked_for} on the controller",
            "a PEM file of certificates",
            step,
        )
        for index, path in enumerate(declared)
        if isinstance(path, str) and (looked_for := missing(path))
    ]


def _check_postgres(roles: t.Collection[str], values: Mapping[str, t.Any]) -> list[Problem]:
    version = str(values.get("postgres_version") or "")
    if "postgres" not in roles or values.get("postgres_runtime") == "external" or not version:
        return []
    if values.get("postgres_image_source") != "debian" or version.partition(".")[0] in POSTGRES_SUITES:
        return []
    shared = values.get(SHARED_SOURCE)
    cause = f"{SHARED_SOURCE} is {shared}" if shared in ("go_module", "release") else "postgres_image_source is debian"
    return [
        wrong(
            "postgres_version",
            describe(values["postgres_version"]),
            f"{' or '.join(POSTGRES_SUITES)}: {cause}, so that the image is made from Debian's packages, which have these",
            "Choose one of them, or set postgres_image_source to registry or archive.",
        )
    ]
