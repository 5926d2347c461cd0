# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the programs and images of a host with what is wanted, and brings what is missing from the controller."""

from __future__ import annotations

import tempfile
import typing as t
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
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_sources import COMPONENTS
from ansible_collections.durable.temporal.plugins.plugin_utils._artifacts import (
    Binary,
    Store,
    WantedImage,
    architecture_of,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Image, write_archive

MODULE: t.Final = "durable.temporal.artifacts"
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
        store = self._store(options)
        store.check(binaries, images)

        asked = {
            "phase": "query",
            "binaries": [binary.dest for binary in binaries],
            "images": [image.reference for image in images],
        }
        found = self._on_host(options, asked, variables)
        if found.get("failed"):
            return found
        architecture = architecture_of(found["machine"])
        identities = {
            **{binary: store.binary_identity(binary, architecture) for binary in binaries},
            **{image: store.image_identity(image, architecture) for image in images},
        }
        plan = compare(identities, found)
        result = report(identities, found, plan)
        if not plan or self._task.check_mode:
            return result

        missing = {change.key for change in plan}
        wanted_images = [image for image in images if _key(image) in missing]
        if wanted_images and found["docker"]:
            raise ArtifactError(
                f"Docker on the host cannot take {', '.join(image.reference for image in wanted_images)}: {found['docker']}. "
                "Run the role durable.temporal.docker first, and use become."
            )
        wanted_binaries = [binary for binary in binaries if _key(binary) in missing]
        done = self._install(
            store, options, (wanted_binaries, wanted_images), identities, (found, architecture), variables
        )
        if done.get("failed"):
            return done
        return report(identities, {**found, "images": {**found["images"], **done["images"]}}, plan)

    def _install(
        self,
        store: Store,
        options: dict[str, t.Any],
        missing: tuple[list[Binary], list[WantedImage]],
        identities: dict[Binary | WantedImage, str | None],
        host: tuple[dict[str, t.Any], str],
        variables: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        """Obtain what is missing, send it over, and have it installed."""
        (binaries, images), (found, architecture) = missing, host
        pull = [image.reference for image in images if identities[image] is None]
        made = [
            store.image(image, architecture, identity)
            for image in images
            if (identity := identities[image]) is not None
        ]
        layers = {
            binary: store.binary(binary.component, binary.version, architecture)
            for binary in binaries
            if (found["binaries"][binary.dest] or {}).get("artifact") != identities[binary]
        }
        own_tmp = self._connection._shell.tmpdir is None
        try:
            remote = RemoteFiles(self)
            programs = []
            for binary in binaries:
                program: dict[str, t.Any] = {
                    "dest": binary.dest,
                    "mode": binary.mode,
                    "artifact": identities[binary],
                }
                layer = layers.get(binary)
                if layer:
                    member = COMPONENTS[binary.component].image_path
                    program |= {"archive": remote.send(layer.path), "member": member, "sha256": layer.files[member]}
                programs.append(program)
            asked = {
                "phase": "install",
                "binaries": programs,
                "archives": remote.send_images(made),
                "pull": pull,
                "images": {image.reference: identities[image] for image in images},
            }
            return self._on_host(options, asked, variables)
        finally:
            if own_tmp and self._connection._shell.tmpdir is not None:
                self._remove_tmp_path(self._connection._shell.tmpdir)

    def _store(self, options: dict[str, t.Any]) -> Store:
        display = Display()
        host = self._task_host()

        def notify(text: str) -> None:
            display.display(f"{host}{text}")

        cache = Path(options["cache"]).expanduser() if options["cache"] else default_cache()
        directory = Path(self._loader.path_dwim(options["directory"])) if options["directory"] else None
        return Store(options["source"], Cache(cache, notify), directory, options["release_url"], notify)

    def _task_host(self) -> str:
        address = getattr(self._play_context, "remote_addr", None)
        return f"{address}: " if address else ""

    def _on_host(
        self, options: dict[str, t.Any], asked: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Run the part on the host. It gets only what it needs: paths of this machine would mean nothing there."""
        arguments = {"source": options["source"], "target": asked}
        answer: dict[str, t.Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer


class RemoteFiles:
    """Sends each file once to a directory on the host that is removed after the task."""

    def __init__(self, action: ActionModule) -> None:
        self._action = action
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
            with tempfile.TemporaryDirectory(prefix="durable-temporal-") as directory:
                archive = Path(directory) / "images.tar"
                write_archive(made, archive)
                sent.append(self.send(archive))
        return sent


def _image(item: dict[str, t.Any]) -> WantedImage:
    with_cli = item["build_with"].get("cli_version") or DEFAULT_CLI
    return WantedImage(item["component"], item["version"], item["reference"], with_cli)


def _key(item: Binary | WantedImage) -> str:
    return item.dest if isinstance(item, Binary) else item.reference


def compare(identities: t.Mapping[Binary | WantedImage, str | None], found: t.Mapping[str, t.Any]) -> Plan:
    """What differs on a host.

    :param identities: the wanted identity of each item; ``None`` is content with any image of that name.
    :param found: the host's answer to a query.
    """
    plan = Plan()
    for item, identity in identities.items():
        if isinstance(item, Binary):
            plan.add(item.dest, found["binaries"][item.dest], {"artifact": identity, "mode": _octal(item.mode)})
            continue
        present = found["images"][item.reference]
        before = {"artifact": present["artifact"]} if present else None
        if identity is None:
            plan.add(item.reference, before, before or {"artifact": f"{item.reference} (registry)"})
        else:
            plan.add(item.reference, before, {"artifact": identity})
    return plan


def report(
    identities: t.Mapping[Binary | WantedImage, str | None], found: t.Mapping[str, t.Any], plan: Plan
) -> dict[str, t.Any]:
    """The task's result."""
    changed = {change.key for change in plan}
    binaries: list[dict[str, t.Any]] = []
    images: list[dict[str, t.Any]] = []
    for item, identity in identities.items():
        common = {"component": item.component, "version": item.version, "changed": _key(item) in changed}
        if isinstance(item, Binary):
            binaries.append({**common, "dest": item.dest, "artifact": identity})
        else:
            present = found["images"][item.reference] or {}
            artifact = identity or present.get("artifact") or ""
            images.append({**common, "reference": item.reference, "artifact": artifact, "id": present.get("id", "")})
    return {"changed": bool(plan), "diff": plan.as_diff(), "binaries": binaries, "images": images}


def _octal(mode: str) -> str:
    try:
        return f"{int(mode, 8):04o}"
    except ValueError:
        raise ArtifactError(f"mode is '{mode}'; expected an octal number in quotes, such as \"0755\".") from None
