# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of ``durable.temporal.artifacts`` asks for, and how the controller provides it.

Private to this collection. :class:`Store` names each wanted thing by an *identity*, a sentence such as
``server 1.32.2 (go_module go1.26.10, recipe 1f0c9a3e)``. Hosts remember the identity of what they have, so that comparing
needs nothing but text; only what differs is made, and made once per cache.
"""

from __future__ import annotations

import json
import re
import tarfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._versions import DEFAULT_CLI
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError, Cache
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_images import (
    POSTGRES_SUITES,
    RECIPES,
    base_tree,
    container_config,
    postgres_config,
    postgres_tree,
    recipe,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_npm import (
    NPM_PROCESSORS,
    NpmClient,
    NpmPackage,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_sources import (
    COMPONENTS,
    Archive,
    GoModule,
    Release,
    Source,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Image, Layer, Tree

# How machines call themselves (uname -m) and how Go, Docker and Debian call them.
ARCHITECTURES: t.Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_VERSION: t.Final = re.compile(r"^[0-9][A-Za-z0-9.+-]*$")
_NPM_NAME: t.Final = re.compile(r"^(@[a-z0-9._-]+/)?[a-z0-9][a-z0-9._-]*$")
_IMAGE_ARCHIVES: t.Final = ("*.tar", "*.tar.gz", "*.tgz")


@dataclass(frozen=True)
class Binary:
    """A wanted program on the host."""

    component: str
    version: str
    dest: str
    mode: str


@dataclass(frozen=True)
class WantedImage:
    """A wanted image in the host's engine."""

    component: str
    version: str
    reference: str
    cli_version: str


def architecture_of(machine: str) -> str:
    """``x86_64`` as ``amd64``.

    :raises ArtifactError: for a machine that Temporal is not made for.
    """
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise ArtifactError(
            f"The host is a {machine} machine; Temporal and this collection know x86_64 and aarch64."
        ) from None


class Store:
    """Identities and content for one task's ``source``.

    :param directory: of ``source: archive``.
    :param notify: receives progress sentences.
    """

    def __init__(
        self,
        source: str,
        cache: Cache,
        directory: Path | None,
        release_url: str,
        notify: t.Callable[[str], None],
    ) -> None:
        self.source = source
        self._cache = cache
        self._notify = notify
        self._archive: Archive | None = None
        self._binaries: Source | None = None
        if source == "go_module":
            self._binaries = GoModule(notify)
        elif source == "archive":
            if directory is None:
                raise ArtifactError(
                    "topology_artifact_source is archive and topology_artifact_directory is not set: name the directory on "
                    "this machine that holds the files."
                )
            self._binaries = self._archive = Archive(cache, directory)
        elif source in ("release", "registry"):
            self._binaries = Release(cache, notify, release_url)

    def scratch(self) -> Path:
        """A directory of the cache's file system for files that live only as long as a task."""
        return self._cache.folder("work")

    def check(
        self,
        binaries: t.Sequence[Binary],
        images: t.Sequence[WantedImage],
        packages: t.Sequence[NpmPackage] = (),
    ) -> None:
        """Refuse what can never work, before anything is looked at."""
        items: list[Binary | WantedImage] = [*binaries, *images]
        versions = [(item.component, item.version) for item in items] + [(p.name, p.version) for p in packages]
        for name, version in versions:
            if not _VERSION.match(version):
                raise ArtifactError(
                    f"{name}: '{version}' is not a version. Expected one such as 1.32.2, without a leading v."
                )
        for package in packages:
            for name in (package.name, *dict(package.published).values()):
                if not _NPM_NAME.match(name):
                    raise ArtifactError(f"'{name}' is no name of an npm package. Expected one such as pm2.")
            for architecture in dict(package.published):
                if architecture not in NPM_PROCESSORS:
                    raise ArtifactError(
                        f"{package.name}: published has '{architecture}'; expected {' or '.join(NPM_PROCESSORS)}."
                    )
        if packages and self.source != "npm":
            raise ArtifactError(
                f"source is {self.source}, which has no npm packages: give npm_packages a task of their own with "
                "the source npm."
            )
        if self.source == "npm" and (binaries or images):
            raise ArtifactError(
                "source is npm, which has neither Temporal's programs nor images: use go_module, release or archive "
                "for them."
            )
        if self.source == "debian" and binaries:
            raise ArtifactError(
                "source is debian, which has no Temporal binaries: use go_module, release or archive for them."
            )
        for image in images:
            self._check_image(image)

    def binary_identity(self, binary: Binary, architecture: str) -> str:
        """What the host is to remember of a program."""
        return f"{binary.component} {binary.version} ({self._stamp(binary.component, binary.version, architecture)})"

    @staticmethod
    def package_identity(package: NpmPackage) -> str:
        """What the host is to remember of a package of npm."""
        return f"{package.name} {package.version} (npm)"

    def package(self, package: NpmPackage, architecture: str) -> Layer:
        """The layer that holds a package of npm and all that it depends on.

        The same for every architecture, unless it is published for each.
        """
        client = NpmClient(self._notify)
        return self._cache.layer(
            f"npm-{package.published_for(architecture)}-{package.version}",
            lambda work: client.install(package, architecture, work),
        )

    def image_identity(self, image: WantedImage, architecture: str) -> str | None:
        """What the image's label or the host's record is to say; ``None``: whatever the registry has."""
        if self.source == "registry":
            return None
        if image.component == "postgres" and self.source == "debian":
            major = _major(image.version)
            return f"postgres {major} (debian {POSTGRES_SUITES[major]}, recipe {recipe('postgres')})"
        if self._archive:
            found = self._image_archive(image.reference)
            if found:
                return f"{image.reference} (image archive sha256:{self._cache.digest(found)[:16]})"
            if image.component == "postgres" or not self._has_binaries(image, architecture):
                raise ArtifactError(self._not_found(image, architecture))
        stamps = [self._stamp(name, version, architecture) for name, version in _binaries_of(image)]
        made = ", ".join(dict.fromkeys(stamps))
        with_cli = f" with cli {image.cli_version}" if image.component == "admin_tools" else ""
        return f"{image.component} {image.version}{with_cli} ({made}, recipe {recipe(image.component)})"

    def binary(self, component: str, version: str, architecture: str) -> Layer:
        """The layer that holds a program at its path in images."""
        wanted, source = COMPONENTS[component], self._source()
        stamp = self._stamp(component, version, architecture)

        def build(work: Path) -> Tree:
            tree = Tree()
            tree.file(wanted.image_path, source.fetch(wanted, version, architecture, work), mode=0o755)
            return tree

        key = f"{component}-{version}-{architecture}-{stamp}"
        return self._cache.layer(key, build, hashed=(wanted.image_path,))

    def image(self, image: WantedImage, architecture: str, identity: str) -> Image | Path:
        """An image to be written into an archive, or the user's own archive that holds it."""
        if self._archive:
            found = self._image_archive(image.reference)
            if found:
                self._archive.verify(found)
                return found
        if image.component == "postgres":
            major = _major(image.version)
            layer = self._cache.layer(
                f"postgres-{major}-{architecture}-{recipe('postgres')}",
                lambda work: self._postgres(major, architecture, work),
            )
            return Image(image.reference, architecture, container_config(postgres_config(major), identity), (layer,))
        how = RECIPES[image.component]
        layers = [
            self._cache.layer(f"base-{architecture}-{recipe('base')}", lambda work: base_tree(architecture, work)),
        ]
        if how.extras:
            extras = how.extras
            key = f"{image.component}-extras-{recipe(image.component)}"
            layers.append(self._cache.layer(key, lambda _work: extras()))
        layers += [self.binary(name, version, architecture) for name, version in _binaries_of(image)]
        return Image(image.reference, architecture, container_config(how.config, identity), tuple(layers))

    def _postgres(self, major: str, architecture: str, work: Path) -> Tree:
        self._notify(f"Building the PostgreSQL {major} image from Debian packages (half a minute the first time)")
        return postgres_tree(major, architecture, work)

    def _check_image(self, image: WantedImage) -> None:
        if image.component == "postgres":
            if self.source in ("go_module", "release"):
                raise ArtifactError(
                    f"{image.reference}: the PostgreSQL image does not come from {self.source}. Set "
                    "postgres_image_source to registry, debian or archive."
                )
            if self.source == "debian" and _major(image.version) not in POSTGRES_SUITES:
                raise ArtifactError(
                    f"{image.reference}: Debian has no PostgreSQL {_major(image.version)} that this collection "
                    "builds from; "
                    f"it has {' and '.join(POSTGRES_SUITES)}. Set postgres_image_source to registry or archive."
                )
        elif self.source == "debian":
            raise ArtifactError(
                f"{image.reference}: Debian has no packages of Temporal. Set topology_artifact_source to "
                "registry, release, go_module or archive."
            )

    def _source(self) -> Source:
        if self._binaries is None:
            raise ArtifactError(f"source {self.source} has no binaries.")
        return self._binaries

    def _stamp(self, component: str, version: str, architecture: str) -> str:
        return self._source().stamp(COMPONENTS[component], version, architecture)

    def _has_binaries(self, image: WantedImage, architecture: str) -> bool:
        archive = t.cast("Archive", self._archive)
        return all(archive.has(COMPONENTS[name], version, architecture) for name, version in _binaries_of(image))

    def _not_found(self, image: WantedImage, architecture: str) -> str:
        archive = t.cast("Archive", self._archive)
        ways = [f"an image archive with {image.reference} (docker save)"]
        if image.component != "postgres":
            for name, version in _binaries_of(image):
                ways.append(" or ".join(archive.candidates(COMPONENTS[name], version, architecture)))
        looked = f"{ways[0]}, or the binaries to build it from: {'; '.join(ways[1:])}" if ways[1:] else ways[0]
        return (
            f"The image {image.reference} is not in {archive.directory}. Looked for {looked}. Found "
            f"{archive.listing()}. Put one "
            "of them there."
        )

    def _image_archive(self, reference: str) -> Path | None:
        """The user's archive that holds an image of this name."""
        archive = t.cast("Archive", self._archive)
        for pattern in _IMAGE_ARCHIVES:
            for path in sorted(archive.directory.glob(pattern)):
                if normal(reference) in {normal(tag) for tag in self._tags(path)}:
                    return path
        return None

    def _tags(self, path: Path) -> list[str]:
        """Names of the images in an archive; remembered, since a compressed one has to be read to its end."""
        key = f"tags of {self._cache.digest(path)}"

        def read(target: Path) -> None:
            target.write_text(json.dumps(image_tags(path)))

        return t.cast("list[str]", json.loads(self._cache.file(key, read).read_text()))


def image_tags(path: Path) -> list[str]:
    """Names of the images in a ``docker save`` archive; none for any other file."""
    try:
        with tarfile.open(path, mode="r:*") as tar:
            for info in tar:
                if info.name.removeprefix("./") == "manifest.json":
                    source = tar.extractfile(info)
                    entries = json.load(source) if source else []
                    return [str(tag) for entry in entries for tag in entry.get("RepoTags") or []]
    except (tarfile.TarError, EOFError, OSError, ValueError, AttributeError):
        return []
    return []


def normal(reference: str) -> str:
    """An image's name as Docker shows it: ``docker.io/library/postgres`` is ``postgres:latest``."""
    name = reference.removeprefix("docker.io/").removeprefix("index.docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


def _binaries_of(image: WantedImage) -> list[tuple[str, str]]:
    """Component and version of each program in an image."""
    return [
        (name, (image.cli_version or DEFAULT_CLI) if name == "cli" else image.version)
        for name in RECIPES[image.component].binaries
    ]


def _major(version: str) -> str:
    return version.partition(".")[0]
