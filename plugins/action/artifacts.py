# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the programs and images of a host with what is wanted, and brings what is missing from the controller."""

from __future__ import annotations

import tempfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan
from ansible_collections.durable.temporal.plugins.module_utils._versions import DEFAULT_CLI
from ansible_collections.durable.temporal.plugins.modules.artifacts import ARGUMENT_SPEC
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import (
    ArtifactError,
    Cache,
    default_cache,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_npm import NpmPackage
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_sources import COMPONENTS
from ansible_collections.durable.temporal.plugins.plugin_utils._artifacts import (
    Binary,
    Store,
    WantedImage,
    architecture_of,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._controller import controller_path
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Image, Layer, write_archive
from ansible_collections.durable.temporal.plugins.plugin_utils._present import artifacts_present

MODULE: t.Final = "durable.temporal.artifacts"
# What each wanted thing must be; ``None`` for an image is content with whatever the registry has.
Wanted = Binary | WantedImage | NpmPackage
Identities = dict[Wanted, str | None]
_SPEC: t.Final = {key: value for key, value in ARGUMENT_SPEC.items() if key != "target"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/artifacts.py``."""

    # The directory for transfers is made only when something has to be sent.
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=_SPEC)
        try:
            result.update(self._bring(options, task_vars or {}))
        except ArtifactError as error:
            raise AnsibleActionFail(str(error)) from error
        return result

    def _bring(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        binaries = [Binary(**item) for item in options["binaries"]]
        images = [_image(item) for item in options["images"]]
        packages = [_package(item) for item in options["npm_packages"]]
        store = self._store(options, variables)
        store.check(binaries, images, packages)

        asked = {
            "phase": "query",
            "binaries": [binary.dest for binary in binaries],
            "images": [image.reference for image in images],
            "packages": [
                {"name": package.name, "dest": package.dest, "links": [link for link, _target in package.links]}
                for package in packages
            ],
        }
        items: list[Wanted] = [*binaries, *images, *packages]
        if (seen := artifacts_present(asked, variables)) is not None:
            identities = _identities(store, items, seen)
            if not compare(identities, seen):
                return report(identities, seen, Plan())
        found = self._on_host(options, asked, variables)
        if found.get("failed"):
            return found
        architecture = architecture_of(found["machine"])
        identities = _identities(store, items, found)
        plan = compare(identities, found)
        if not plan or self._task.check_mode:
            return report(identities, found, plan)

        missing = {change.key for change in plan}
        due = {item: identity for item, identity in identities.items() if _key(item) in missing}
        refuse_without_docker(due, found)
        content = obtain(store, due, found, architecture)
        done = self._send_and_install(content, due, options, variables)
        if done.get("failed"):
            return done
        return report(identities, {**found, "images": {**found["images"], **done["images"]}}, plan)

    def _send_and_install(
        self, content: Content, due: Identities, options: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        shell = self._connection._shell
        own_directory = shell.tmpdir is None
        try:
            remote = RemoteFiles(self, content.scratch)
            programs: list[dict[str, t.Any]] = []
            for binary, layer in content.programs.items():
                program = {"dest": binary.dest, "mode": binary.mode, "artifact": due[binary]}
                if layer:
                    member = COMPONENTS[binary.component].image_path
                    program |= {"archive": remote.send(layer.path), "member": member, "sha256": layer.files[member]}
                programs.append(program)
            packages = []
            for package, layer in content.packages.items():
                sent = {"archive": remote.send(layer.path), "sha256": layer.digest} if layer else {}
                links = package.link_targets()
                packages.append(
                    {"name": package.name, "dest": package.dest, "artifact": due[package], "links": links, **sent}
                )
            asked = {
                "phase": "install",
                "binaries": programs,
                "packages": packages,
                "archives": remote.send_images(content.images),
                "pull": content.pull,
                "images": {item.reference: identity for item, identity in due.items() if isinstance(item, WantedImage)},
            }
            return self._on_host(options, asked, variables)
        finally:
            if own_directory and shell.tmpdir is not None:
                self._remove_tmp_path(shell.tmpdir)

    def _store(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> Store:
        display = Display()
        host = variables["inventory_hostname"]

        def notify(text: str) -> None:
            display.display(f"{host}: {text}")

        cache = Path(options["cache"]).expanduser() if options["cache"] else default_cache()
        directory = Path(controller_path(options["directory"])) if options["directory"] else None
        return Store(options["source"], Cache(cache, notify), directory, options["release_url"], notify)

    def _on_host(
        self, options: dict[str, t.Any], asked: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Run the part on the host. It gets only what it needs: paths of this machine would mean nothing there."""
        arguments = {"source": options["source"], "target": asked}
        answer: dict[str, t.Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer


@dataclass(frozen=True)
class Content:
    """What is to be sent. A program without a layer is there already and gets another mode only; a package, links."""

    scratch: Path
    programs: dict[Binary, Layer | None]
    images: list[Image | Path]
    pull: list[str]
    packages: dict[NpmPackage, Layer | None] = field(default_factory=dict)


def obtain(store: Store, due: Identities, found: t.Mapping[str, t.Any], architecture: str) -> Content:
    """Get from the cache, or into it, what a host lacks."""
    content = Content(store.scratch(), {}, [], [])
    for item, identity in due.items():
        if isinstance(item, Binary):
            there = (found["binaries"][item.dest] or {}).get("artifact") == identity
            content.programs[item] = None if there else store.binary(item.component, item.version, architecture)
        elif isinstance(item, NpmPackage):
            there = (found["packages"][item.dest] or {}).get("artifact") == identity
            content.packages[item] = None if there else store.package(item, architecture)
        elif identity is None:
            content.pull.append(item.reference)
        else:
            content.images.append(store.image(item, architecture, identity))
    return content


def refuse_without_docker(due: Identities, found: t.Mapping[str, t.Any]) -> None:
    """Stop before minutes are spent on images that the host could not take."""
    names = [item.reference for item in due if isinstance(item, WantedImage)]
    if names and found["docker"]:
        raise ArtifactError(
            f"Docker on the host cannot take {', '.join(names)}: {found['docker'].rstrip('.')}. Run the role "
            "durable.temporal.docker first, and use become."
        )


class RemoteFiles:
    """Sends each file once to a directory on the host that is removed after the task."""

    def __init__(self, action: ActionModule, scratch: Path) -> None:
        self._action = action
        self._scratch = scratch
        self._sent: dict[Path, str] = {}

    def send(self, path: Path) -> str:
        """Send a file; return its path on the host."""
        if path not in self._sent:
            shell = self._action._connection._shell
            if shell.tmpdir is None:
                self._action._make_tmp_path()
            target = shell.join_path(shell.tmpdir, f"{len(self._sent)}-{path.name}")
            self._action._transfer_file(str(path), target)
            self._action._fixup_perms2((shell.tmpdir, target), execute=False)
            self._sent[path] = target
        return self._sent[path]

    def send_images(self, images: t.Sequence[Image | Path]) -> list[str]:
        """Send images, all that are made here in one archive; return the archives' paths on the host."""
        ready = [image for image in images if isinstance(image, Path)]
        made = [image for image in images if isinstance(image, Image)]
        sent = [self.send(path) for path in dict.fromkeys(ready)]
        if made:
            # Beside the cache, which has room: the temporary directory of a machine may be a small memory disk.
            with tempfile.TemporaryDirectory(dir=self._scratch) as directory:
                archive = Path(directory) / "images.tar"
                write_archive(made, archive)
                sent.append(self.send(archive))
        return sent


def _image(item: dict[str, t.Any]) -> WantedImage:
    with_cli = item["build_with"].get("cli_version") or DEFAULT_CLI
    return WantedImage(item["component"], item["version"], item["reference"], with_cli)


def _package(item: dict[str, t.Any]) -> NpmPackage:
    links = tuple((str(link), str(target)) for link, target in sorted(item["links"].items()))
    published = tuple((str(architecture), str(name)) for architecture, name in sorted(item["published"].items()))
    return NpmPackage(item["name"], item["version"], item["dest"], links, published)


def _identities(store: Store, items: t.Iterable[Wanted], found: t.Mapping[str, t.Any]) -> Identities:
    """What each item must be on a host that has answered."""
    architecture = architecture_of(found["machine"])
    identities: Identities = {}
    for item in items:
        if isinstance(item, Binary):
            identities[item] = store.binary_identity(item, architecture)
        elif isinstance(item, WantedImage):
            identities[item] = store.image_identity(item, architecture)
        else:
            identities[item] = store.package_identity(item)
    return identities


def _key(item: Wanted) -> str:
    return item.reference if isinstance(item, WantedImage) else item.dest


def compare(identities: Identities, found: t.Mapping[str, t.Any]) -> Plan:
    """What differs on a host.

    :param identities: the wanted identity of each item; ``None`` is content with any image of that name.
    :param found: the host's answer to a query.
    """
    plan = Plan()
    for item, identity in identities.items():
        if isinstance(item, Binary):
            plan.add(item.dest, found["binaries"][item.dest], {"artifact": identity, "mode": _octal(item.mode)})
            continue
        if isinstance(item, NpmPackage):
            plan.add(item.dest, found["packages"][item.dest], {"artifact": identity, "links": item.link_targets()})
            continue
        present = found["images"][item.reference]
        before = {"artifact": present["artifact"]} if present else None
        if identity is None:
            plan.add(item.reference, before, before or {"artifact": f"{item.reference} (registry)"})
        else:
            plan.add(item.reference, before, {"artifact": identity})
    return plan


def report(identities: Identities, found: t.Mapping[str, t.Any], plan: Plan) -> dict[str, t.Any]:
    """The task's result."""
    changed = {change.key for change in plan}
    binaries: list[dict[str, t.Any]] = []
    images: list[dict[str, t.Any]] = []
    packages: list[dict[str, t.Any]] = []
    for item, identity in identities.items():
        common = {"version": item.version, "changed": _key(item) in changed}
        if isinstance(item, NpmPackage):
            packages.append({**common, "name": item.name, "dest": item.dest, "artifact": identity})
            continue
        common["component"] = item.component
        if isinstance(item, Binary):
            binaries.append({**common, "dest": item.dest, "artifact": identity})
        else:
            present = found["images"][item.reference] or {}
            artifact = identity or present.get("artifact") or ""
            images.append({**common, "reference": item.reference, "artifact": artifact, "id": present.get("id", "")})
    return {
        "changed": bool(plan),
        "diff": plan.as_diff(),
        "binaries": binaries,
        "images": images,
        "npm_packages": packages,
    }


def _octal(mode: str) -> str:
    try:
        return f"{int(mode, 8):04o}"
    except ValueError:
        raise ArtifactError(f"mode is '{mode}'; expected an octal number in quotes, such as \"0755\".") from None
