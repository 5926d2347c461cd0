# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate authorities that a host trusts besides those of its distribution.

Private to this collection.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from pathlib import Path

BEGIN = "# BEGIN durable.temporal certificates"
END = "# END durable.temporal certificates"
DIRECTORY = "/usr/local/share/ca-certificates"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
ENVIRONMENT = "/etc/environment"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+(.+?)-----END CERTIFICATE-----", re.DOTALL)


def fingerprints(text: str) -> list[str]:
    """Short digests of the certificates in a text, in its order, whatever lies between them and however they wrap."""
    return [hashlib.sha256("".join(body.split()).encode()).hexdigest()[:16] for body in _PEM.findall(text)]


def file_name(name: str) -> str:
    """``company``, ``company.pem`` and ``company.crt`` all become ``durable-temporal-company.crt``: others may have put their
    ``company.crt`` there.
    """
    return f"durable-temporal-{re.sub(r'[.](crt|pem|cer)$', '', name)}.crt"


def read(path: Path) -> str:
    """The text of a file, empty when there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def environment_text(present: str, environment: t.Mapping[str, str]) -> str:
    """The environment file with our block replaced; all other lines stay. No block without variables."""
    kept: list[str] = []
    inside = False
    for line in present.splitlines():
        if line == BEGIN:
            inside = True
        if not inside:
            kept.append(line)
        if line == END:
            inside = False
    return "".join(f"{line}\n" for line in [*kept, *environment_block(environment)])


def environment_block(environment: t.Mapping[str, str]) -> list[str]:
    """Our lines of the environment file. None without variables."""
    return [BEGIN, *(f"{name}={value}" for name, value in environment.items()), END] if environment else []


def present() -> dict[str, t.Any]:
    """What a host trusts besides its distribution: ``files`` (path to fingerprints), ``bundle`` (fingerprints of it all)
    and ``environment``, our lines of the environment file.
    """
    lines = read(Path(ENVIRONMENT)).splitlines()
    ours = lines[lines.index(BEGIN) : lines.index(END) + 1] if BEGIN in lines and END in lines else []
    return {
        "files": {str(path): fingerprints(read(path)) for path in sorted(Path(DIRECTORY).glob("*.crt"))},
        "bundle": fingerprints(read(Path(BUNDLE))),
        "environment": ours,
    }
