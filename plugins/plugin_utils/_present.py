# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role preflight has seen on a host in this run, so that a task that wants nothing more need not ask again.

A registered variable lives as long as the run, unlike a fact, which a cache may bring back in a later one. A task whose
wishes are not all met there asks the host itself; so does every task of a run without preflight.
"""

from __future__ import annotations

import typing as t

from ansible_collections.durable.temporal.plugins.module_utils import _certificates, _packages

REGISTERED: t.Final = "__preflight_probe"


def _probe(variables: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    probe = variables.get(REGISTERED)
    return probe if isinstance(probe, dict) else {}


def packages_present(options: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """The result of the module packages when all that is wanted was there; ``None`` when the host must be asked.

    :param options: options of the module packages.
    :param variables: variables of the task.
    """
    probe = _probe(variables)
    if not probe.get("dpkg") or "os" not in probe:
        return None
    release = _packages.named(probe["os"])
    installed = _packages.Installed.parse(probe["dpkg"])
    installed.newer = _packages.surely_at_least
    if not all(installed.has(name) for name in _packages.wanted_names(options, release)):
        return None
    return {"changed": False, "missing": [], "release": release}


def artifacts_present(asked: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    """The host's answer to a query of the module artifacts, when all that is asked for was there, else ``None``.

    :param asked: ``binaries`` (paths), ``images`` (references) and ``packages`` (rows with ``dest``).
    """
    seen = _probe(variables).get("artifacts") or {}
    wanted = {**asked, "packages": [package["dest"] for package in asked["packages"]]}
    kinds = ("binaries", "images", "packages")
    if not seen or not all(key in seen[kind] for kind in kinds for key in wanted[kind]):
        return None
    return {**seen, **{kind: {key: seen[kind][key] for key in wanted[kind]} for kind in kinds}}


def certificates_present(options: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any]) -> bool:
    """Whether a host trusts what it is to trust. Only for the usual places: others are not looked at beforehand.

    :param options: options of the module ca_certificates.
    """
    seen = _probe(variables).get("certificates")
    if not seen or not {*options} <= {"certificates", "environment"}:
        return False
    for certificate in options.get("certificates") or []:
        wanted = _certificates.fingerprints(certificate["content"])
        path = f"{_certificates.DIRECTORY}/{_certificates.file_name(certificate['name'])}"
        if not wanted or seen["files"].get(path) != wanted or not {*wanted} <= {*seen["bundle"]}:
            return False
    return bool(seen["environment"] == _certificates.environment_block(options.get("environment") or {}))
