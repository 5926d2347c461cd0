#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, and its part that runs on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifacts
short_description: Brings Temporal's programs and container images to a host
version_added: 0.1.0
description:
  - Sees to it that programs and images of given versions are on the host. Where one is missing, this machine obtains it
    (downloads, builds, or takes it from a directory), keeps it in a cache, and sends it over.
  - Hosts need no access to any download site or registry, except with O(source=registry).
  - What is there already costs one short look at the host. Each version is obtained once per cache, however many hosts
    and runs ask for it at the same time.
  - What was installed is remembered on the host in C(/var/lib/durable-temporal/artifacts.json), and in images built
    here by the label C(durable.temporal.artifact).
author:
  - The durable.temporal contributors (@durable-temporal)
options:
  source:
    description:
      - Where programs and images come from.
      - V(go_module) builds programs from their Go modules with the C(go) on this machine, and images from them.
      - V(release) downloads the vendor's archives, verifies their checksums, and builds images from them.
      - V(archive) takes both from O(directory).
      - V(registry) lets the host pull images; programs come as with V(release).
      - V(debian) builds the PostgreSQL image from Debian's packages, with C(debootstrap) on this machine, without
        root.
      - Images built here take a shell and time zones from Debian packages, which takes C(apt-get) on this machine.
    type: str
    required: true
    choices: [go_module, release, archive, registry, debian]
  directory:
    description:
      - Directory on this machine for O(source=archive).
      - A program is found as the vendor's archive (V(temporal_1.32.2_linux_amd64.tar.gz)), or as a file called
        V(temporal-server), V(temporal-sql-tool), V(tdbg), V(temporal) or V(temporal-ui-server), with or without
        V(-1.32.2) or V(-1.32.2-linux-amd64) behind it.
      - An image is found in any C(docker save) archive (V(.tar), V(.tar.gz), V(.tgz)) that holds its reference;
        otherwise it is built from the programs in the directory.
      - When the directory has a file V(SHA256SUMS), every file that is used must match it.
    type: path
  cache:
    description:
      - Directory on this machine for what was obtained. May be emptied at any time.
      - The default is V(durable.temporal) below E(XDG_CACHE_HOME) or V(~/.cache).
    type: path
  release_url:
    description: Base of the vendor's release pages, or of a mirror with the same layout.
    type: str
    default: https://github.com/temporalio
  binaries:
    description: Programs that are to be on the host.
    type: list
    elements: dict
    default: []
    suboptions:
      component:
        description: Which program.
        type: str
        required: true
        choices: [server, sql_tool, tdbg, cli, ui]
      version:
        description: Its version, without a leading C(v). V(server), V(sql_tool) and V(tdbg) have the server's.
        type: str
        required: true
      dest:
        description: Path of the file on the host. Missing directories are made.
        type: path
        required: true
      mode:
        description: Permissions of the file, in octal.
        type: str
        default: "0755"
  images:
    description: Images that are to be in the host's Docker engine.
    type: list
    elements: dict
    default: []
    suboptions:
      component:
        description: Which image.
        type: str
        required: true
        choices: [server, admin_tools, ui, postgres]
      version:
        description: Its version; for V(postgres) the major version.
        type: str
        required: true
      reference:
        description: Name and tag, such as V(local/temporal-server:1.32.2) or V(temporalio/server:1.32.2).
        type: str
        required: true
      build_with:
        description: Versions of further parts of an image that is built here.
        type: dict
        default: {}
        suboptions:
          cli_version:
            description: Version of the Temporal CLI in V(admin_tools). The default is the one this collection knows.
            type: str
  target:
    description: What the action plugin asks of its part that runs on the host. Not for playbooks.
    type: dict
extends_documentation_fragment:
  - durable.temporal.attributes
notes:
  - Needs C(become) for programs in system directories and for Docker.
"""

EXAMPLES = r"""
- name: Bring the CLI
  durable.temporal.artifacts:
    source: release
    binaries:
      - component: cli
        version: 1.5.1
        dest: /usr/local/bin/temporal

- name: Bring the images that were built on this machine
  durable.temporal.artifacts:
    source: go_module
    images:
      - component: server
        version: 1.32.2
        reference: local/temporal-server:1.32.2
      - component: admin_tools
        version: 1.32.2
        reference: local/temporal-admin-tools:1.32.2
        build_with:
          cli_version: 1.5.1

- name: Bring an image to a site without network
  durable.temporal.artifacts:
    source: archive
    directory: /srv/temporal-files
    images:
      - component: postgres
        version: "17"
        reference: postgres:17
"""

RETURN = r"""
binaries:
  description: The programs, in the order in which they were asked for.
  returned: success
  type: list
  elements: dict
  sample:
    - component: cli
      version: 1.5.1
      dest: /usr/local/bin/temporal
      artifact: cli 1.5.1 (release)
      changed: true
images:
  description:
    - The images, in the order in which they were asked for. The C(id) of one is the image's id in the host's engine, or
      empty in check mode when the image is not there yet.
  returned: success
  type: list
  elements: dict
  sample:
    - component: server
      version: 1.32.2
      reference: local/temporal-server:1.32.2
      artifact: server 1.32.2 (release, recipe 1f0c9a3e)
      id: sha256:0f5c1d9c6a1f5b7d9b0f0f8b9f2f6a3c1f5b7d9b0f0f8b9f2f6a3c1f5b7d9b0f
      changed: true
"""

import contextlib
import hashlib
import json
import os
import platform
import tarfile
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC: t.Final[dict[str, t.Any]] = {
    "source": {
        "type": "str",
        "required": True,
        "choices": ["go_module", "release", "archive", "registry", "debian"],
    },
    "directory": {"type": "path"},
    "cache": {"type": "path"},
    "release_url": {"type": "str", "default": "https://github.com/temporalio"},
    "binaries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "component": {"type": "str", "required": True, "choices": ["server", "sql_tool", "tdbg", "cli", "ui"]},
            "version": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "mode": {"type": "str", "default": "0755"},
        },
    },
    "images": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "component": {"type": "str", "required": True, "choices": ["server", "admin_tools", "ui", "postgres"]},
            "version": {"type": "str", "required": True},
            "reference": {"type": "str", "required": True},
            "build_with": {"type": "dict", "default": {}, "options": {"cli_version": {"type": "str"}}},
        },
    },
    "target": {"type": "dict"},
}

RECORD: t.Final = "/var/lib/durable-temporal/artifacts.json"
LABEL: t.Final = "durable.temporal.artifact"
_CHUNK: t.Final = 1 << 20

Record = dict[str, dict[str, dict[str, t.Any]]]


class HostError(Exception):
    """Something on the host stands in the way. The text is for the operator."""


def read_record(path: str = RECORD) -> Record:
    """What was installed here, ``{"binaries": {path: …}, "images": {reference: …}}``. Unreadable counts as empty."""
    content: t.Any = {}
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as handle:
        content = json.load(handle)
    if not isinstance(content, dict):
        content = {}
    return {kind: value if isinstance(value := content.get(kind), dict) else {} for kind in ("binaries", "images")}


def write_record(record: Record, path: str = RECORD) -> None:
    """Replace the record in one step."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(record, out, indent=1, sort_keys=True)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def look_at_binary(path: str, record: Record) -> dict[str, t.Any] | None:
    """``{"artifact", "mode"}`` of a file, or ``None`` when there is none.

    The record counts only while size and time of change are as they were: anything else is a file of unknown origin.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return None
    known = record["binaries"].get(path, {})
    same = known.get("size") == stat.st_size and known.get("mtime_ns") == stat.st_mtime_ns
    return {
        "artifact": known.get("artifact") if same else "a file of unknown origin",
        "mode": f"{stat.st_mode & 0o7777:04o}",
    }


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


def install_binary(wanted: t.Mapping[str, t.Any], record: Record) -> None:
    """Put a program in its place in one step, verified.

    :param wanted: ``dest``, ``mode``, ``artifact``, and unless only the mode differs ``archive`` (path of a layer on
        this host), ``member`` (the file in it) and ``sha256``.
    """
    dest, mode = wanted["dest"], int(wanted["mode"], 8)
    if not wanted.get("archive"):
        os.chmod(dest, mode)
        return
    if os.path.isdir(dest):
        raise HostError(f"{dest} is a directory; a file is to be installed there. Set dest to the file's path.")
    directory = os.path.dirname(dest)
    temporary = ""
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(dest)}.")
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as out, tarfile.open(wanted["archive"], mode="r|gz") as tar:
            for info in tar:
                source = tar.extractfile(info) if info.name == wanted["member"] else None
                while source is not None and (chunk := source.read(_CHUNK)):
                    digest.update(chunk)
                    out.write(chunk)
        if digest.hexdigest() != wanted["sha256"]:
            raise HostError(
                f"{dest} arrived damaged: SHA-256 {digest.hexdigest()}, expected {wanted['sha256']}. Run again; "
                "if it stays, "
                "empty the cache on the controller."
            )
        os.chmod(temporary, mode)
        os.replace(temporary, dest)
    except OSError as error:
        raise HostError(f"{dest} could not be written: {error.strerror}. Make room or change dest.") from error
    finally:
        if temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    stat = os.stat(dest)
    record["binaries"][dest] = {
        "artifact": wanted["artifact"],
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "sha256": wanted["sha256"],
    }


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
                "registry; if it cannot, set source to go_module, release or archive (postgres: debian or archive)."
            )


def query(docker: Docker, asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is there."""
    record = read_record()
    images, trouble = docker.look(asked["images"], record)
    return {
        "machine": platform.machine(),
        "binaries": {path: look_at_binary(path, record) for path in asked["binaries"]},
        "images": images,
        "docker": trouble,
    }


def install(docker: Docker, asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Install what has been sent over, or is to be pulled, and look again."""
    record = read_record()
    try:
        for binary in asked["binaries"]:
            install_binary(binary, record)
        for path in asked["archives"]:
            docker.load(path)
        for reference in asked["pull"]:
            docker.pull(reference)
        references = list(asked["images"])
        images, trouble = docker.look(references, record)
        missing = [reference for reference in references if images[reference] is None]
        if trouble or missing:
            raise HostError(
                trouble or f"Docker does not have {', '.join(missing)} after loading it. Try docker images."
            )
        for reference, artifact in asked["images"].items():
            present = t.cast("dict[str, t.Any]", images[reference])
            if artifact:
                record["images"][reference] = {"artifact": artifact, "id": present["id"]}
                present["artifact"] = artifact
    finally:
        write_record(record)  # also of what came before a failure
    return {"changed": True, "images": images}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    asked = module.params["target"]
    if not asked:
        module.fail_json(
            msg="durable.temporal.artifacts needs its action plugin, which was not found. Install the collection."
        )
    docker = Docker(module)
    try:
        result = query(docker, asked) if asked["phase"] == "query" else install(docker, asked)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'The host'}: {error.strerror}. Check the permissions and become.")
    module.exit_json(**{"changed": False, **result})


if __name__ == "__main__":
    main()
