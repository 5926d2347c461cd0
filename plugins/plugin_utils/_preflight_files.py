# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges files that somebody else puts on a host and that an option names: the program that reads them tells late.

Private to this collection. Pure: plain data in, problems out.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils._probe import labels_of
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem, describe, wrong

# Role → its options that name such files. The wiring's own are a part of them.
NAMED_BY = {"nginx": ("nginx_sites",), "postgres": ("postgres_ca_cert",)}


@dataclass(frozen=True)
class HostFile:
    """A file that must be on a host: the option that names it, where, and what it holds, in words and as PEM calls it."""

    about: str
    path: str
    expected: str
    label: str


_PARTS = {
    "certificate": ("a PEM file with the certificate and its chain", "CERTIFICATE"),
    "key": ("a PEM file with a private key that no passphrase protects", "(?!ENCRYPTED ).*PRIVATE KEY"),
}


def declared(roles: Collection[str], values: Mapping[str, t.Any]) -> list[HostFile]:
    """The files that the options of a host name, and that nothing of this collection writes.

    :param roles: those of the host.
    :param values: rendered options of these roles.
    """
    found = list(_of_sites(values)) if "nginx" in roles else []
    if "postgres" in roles and (path := values.get("postgres_ca_cert")):
        expected = "a PEM file with the authorities that the database is checked against"
        found.append(HostFile("postgres_ca_cert", str(path), expected, "(TRUSTED )?CERTIFICATE"))
    return found


def _of_sites(values: Mapping[str, t.Any]) -> t.Iterator[HostFile]:
    for about, tls in _tls(values):
        for what, (expected, label) in _PARTS.items():
            if tls.get(what) and not tls.get(f"{what}_content"):
                yield HostFile(f"{about}.{what}", str(tls[what]), expected, label)


def _tls(values: Mapping[str, t.Any]) -> t.Iterator[tuple[str, Mapping[str, t.Any]]]:
    """``tls`` of each site with the option that it is. What all sites have from the wiring has the name that users set."""
    sites = values.get("nginx_sites")
    for index, site in enumerate(sites if isinstance(sites, list) else []):
        tls = site.get("tls") if isinstance(site, Mapping) else None
        if isinstance(tls, Mapping):
            yield "topology_tls" if tls == values.get("topology_tls") else f"nginx_sites[{index}].tls", tls


def check_contents(roles: Collection[str], values: Mapping[str, t.Any]) -> list[Problem]:
    """Texts for such files that hold something else, as nginx would tell after they are written. They are not shown.

    For the parameters see :func:`declared`.
    """
    problems = []
    for about, tls in _tls(values) if "nginx" in roles else ():
        for what, (expected, label) in _PARTS.items():
            content = tls.get(f"{what}_content")
            if isinstance(content, str) and content and not any(re.fullmatch(label, one) for one in labels_of(content)):
                found = f"a text that holds {' and '.join(dict.fromkeys(labels_of(content))) or 'nothing of PEM'}"
                step = "Correct it; its lines are lines, not \\n in single quotes."
                problems.append(wrong(f"{about}.{what}_content", found, expected.replace("file", "text"), step))
    return list(dict.fromkeys(problems))


def check_files(roles: Collection[str], values: Mapping[str, t.Any], probe: Mapping[str, t.Any]) -> list[Problem]:
    """Files that are not on the host or hold something else. Only root sees them all.

    For the parameters see :func:`declared`; ``probe`` is what the module ``host_probe`` returned.
    """
    seen = probe.get("pem_files") or {}
    problems = []
    for file in dict.fromkeys(declared(roles, values)):
        if not probe.get("privileged") or file.path not in seen:
            continue
        labels = seen[file.path]
        if labels is None:
            found = f"{describe(file.path)}, and there is no such file on the host"
            step = "Put it there first, or correct the path."
            problems.append(wrong(file.about, found, file.expected, step))
        elif not any(re.fullmatch(file.label, label) for label in labels):
            holds = f"which holds {' and '.join(dict.fromkeys(labels))}" if labels else "which holds nothing of PEM"
            problems.append(
                wrong(file.about, f"{describe(file.path)}, {holds}", file.expected, "Correct the path or the file.")
            )
    return problems
