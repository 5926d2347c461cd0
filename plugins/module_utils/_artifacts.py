# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module artifacts has installed on this host, and whether it is still there.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import typing as t

from ansible.module_utils.basic import AnsibleModule

RECORD: t.Final = "/var/lib/durable-temporal/artifacts.json"
KINDS: t.Final = ("binaries", "images", "packages")
LABEL: t.Final = "durable.temporal.artifact"

Record = dict[str, dict[str, dict[str, t.Any]]]


class HostError(Exception):
    """Something on the host stands in the way. The text is for the operator."""


def read_record(path: str = RECORD) -> Record:
    """What was installed here: ``binaries`` by path, ``images`` by reference, ``packages`` by directory.

    What cannot be read counts as empty.
    """
    content: t.Any = {}
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as handle:
        content = json.load(handle)
    if not isinstance(content, dict):
        content = {}
    return {kind: value if isinstance(value := content.get(kind), dict) else {} for kind in KINDS}


def look_at_binary(path: str, record: Record) -> dict[str, t.Any] | None:
    """``{"artifact", "mode"}`` of a file, or ``None`` when there is none.

    The record counts only while size and time of change are as they were: anything else is a file of unknown origin.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return {
        "artifact": _origin(record["binaries"].get(path, {}), stat),
        "mode": f"{stat.st_mode & 0o7777:04o}",
    }


def _origin(known: t.Mapping[str, t.Any], stat: os.stat_result) -> t.Any:
    same = known.get("size") == stat.st_size and known.get("mtime_ns") == stat.st_mtime_ns
    return known.get("artifact") if same else "a file of unknown origin"


def manifest_of(package: t.Mapping[str, t.Any]) -> str:
    """The file of a package of npm that stands for all of it."""
    return os.path.join(package["dest"], "lib", "node_modules", package["name"], "package.json")


def look_at_package(package: t.Mapping[str, t.Any], record: Record) -> dict[str, t.Any] | None:
    """``{"artifact", "links"}`` of a package of npm, or ``None`` when it is not there; missing links are left out."""
    try:
        stat = os.stat(manifest_of(package))
    except OSError:
        return None
    links = {path: os.readlink(path) for path in package["links"] if os.path.islink(path)}
    return {"artifact": _origin(record["packages"].get(package["dest"], {}), stat), "links": links}


def parse_images(references: t.Sequence[str], inspected: str, record: Record) -> dict[str, dict[str, t.Any] | None]:
    """Reference to ``{"artifact", "id"}``, or ``None`` for an image that is not there.

    :param inspected: what ``docker image inspect`` printed for all references together; it leaves out missing ones.
    """
    try:
        entries = json.loads(inspected or "[]")
    except ValueError:
        raise HostError(
            f"docker image inspect answered something that is not JSON: {inspected[:200]}. Try it by hand on the host."
        ) from None
    by_name: dict[str, dict[str, t.Any]] = {}
    for entry in entries:
        for name in (*(entry.get("RepoTags") or []), *(entry.get("RepoDigests") or []), entry.get("Id", "")):
            by_name[name] = entry
    found: dict[str, dict[str, t.Any] | None] = {}
    for reference in references:
        entry = by_name.get(familiar(reference), {})
        if not entry:
            found[reference] = None
            continue
        labels = (entry.get("Config") or {}).get("Labels") or {}
        known = record["images"].get(reference, {})
        recorded = known.get("artifact") if known.get("id") == entry["Id"] else None
        found[reference] = {
            "artifact": recorded or labels.get(LABEL) or f"another image, {entry['Id']}",
            "id": entry["Id"],
        }
    return found


def familiar(reference: str) -> str:
    """An image's name as Docker shows it: ``docker.io/library/postgres`` is ``postgres:latest``."""
    name = reference
    for prefix in ("docker.io/", "index.docker.io/", "library/"):
        name = name[len(prefix) :] if name.startswith(prefix) else name
    return name if "@" in name or ":" in name.rpartition("/")[2] else name + ":latest"


class Docker:
    """The host's engine, through its command line."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._program = module.get_bin_path("docker")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``docker``; return code, output, error."""
        code, out, err = self._module.run_command([self._program, *arguments], environ_update={"LC_ALL": "C"})
        return int(code), str(out), str(err).strip()

    def look(self, references: t.Sequence[str], record: Record) -> tuple[dict[str, dict[str, t.Any] | None], str]:
        """The images, and why Docker cannot be used (empty when it can, or when no image is asked for)."""
        nothing: dict[str, dict[str, t.Any] | None] = dict.fromkeys(references)
        if not references:
            return nothing, ""
        if not self._program:
            return nothing, "the program docker is not installed"
        code, out, err = self.run("image", "inspect", *references)
        if code != 0 and "no such image" not in err.lower():
            return nothing, err or f"docker image inspect ended with {code}"
        return parse_images(references, out, record), ""

    def load(self, path: str) -> None:
        """Load an archive of images."""
        code, out, err = self.run("load", "--quiet", "--input", path)
        if code != 0:
            raise HostError(f"docker load failed: {err or out.strip()}. Check the space below Docker's data directory.")

    def pull(self, reference: str) -> None:
        """Fetch an image from its registry."""
        code, out, err = self.run("pull", "--quiet", reference)
        if code != 0:
            raise HostError(
                f"{reference} could not be pulled: {err or out.strip()}. Check the name, and that this host "
                "reaches the "
                "registry; if it cannot, set topology_artifact_source to go_module, release or archive."
            )


def query(docker: Docker, asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is there."""
    record = read_record()
    images, trouble = docker.look(asked["images"], record)
    return {
        "machine": platform.machine(),
        "binaries": {path: look_at_binary(path, record) for path in asked["binaries"]},
        "images": images,
        "packages": {package["dest"]: look_at_package(package, record) for package in asked["packages"]},
        "docker": trouble,
    }


def present(docker: Docker) -> dict[str, t.Any]:
    """All that the record knows and that is there, in the shape of :func:`query`. What is gone is left out."""
    record = read_record()
    packages = [
        {"name": known["name"], "dest": dest, "links": known["links"]}
        for dest, known in record["packages"].items()
        if "links" in known
    ]
    asked = {"binaries": list(record["binaries"]), "images": list(record["images"]), "packages": packages}
    found = query(docker, asked)
    return {**found, **{kind: {key: row for key, row in found[kind].items() if row} for kind in KINDS}}
