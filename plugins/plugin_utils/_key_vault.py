# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets from Azure Key Vault, each asked for once a run.

Private to this collection. What talks to Azure is loaded only when a secret is not known yet: a task that needs one that
another task, host or fork of the same run has fetched neither imports the SDK nor asks anybody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import secrets
import sys
import time
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import (
    Settings,
    secret_name,
    vault_name,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._references import Reference, SecretError
from ansible_collections.durable.temporal.plugins.plugin_utils._run_cache import RunCache

_HERE = "ansible_collections.durable.temporal.plugins.plugin_utils"
# The tag of a version that is being handed out.
RENEWAL = "durable-renewal"
PACKAGES = ("azure-identity", "azure-keyvault-secrets")


class AzureKeyVault:
    """The provider ``azure_keyvault``."""

    name = "azure_keyvault"

    def __init__(
        self,
        settings: Settings,
        cache: RunCache | None = None,
        make: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """
        :param cache: of the run; its own when not given. None is used when the settings do not want one.
        :param make: makes the value of a secret that is renewed.
        """
        self._settings = settings
        self._make = make
        self._given = cache
        self._opened: RunCache | None = None

    def get(self, references: Sequence[Reference]) -> dict[Reference, str]:
        """
        :raises SecretError: what keeps from asking the vault; a secret that it does not have is no error here.
        """
        places: dict[str, dict[tuple[str, str], list[Reference]]] = {}
        for reference in references:
            of_vault = places.setdefault(self._settings.url(reference), {})
            of_vault.setdefault((secret_name(reference.name), reference.version), []).append(reference)
        found: dict[Reference, str] = {}
        for url, wanted in places.items():
            values = self._of_vault(url, list(wanted))
            for place, value in values.items():
                found |= {reference: value for reference in wanted[place] if value is not None}
        return found

    def put(self, name: str, value: str, tags: Mapping[str, str] | None = None, content_type: str | None = None) -> str:
        """Set a secret in the vault of the settings; its new version.

        :raises SecretError: what keeps from writing it.
        """
        url, mapped = self._settings.url(Reference(name)), secret_name(name)
        cache = self._cache()
        version = str(_client(url, self._settings, cache).write(mapped, value, tags or {}, content_type))
        if cache is not None:
            cache.put([value], *self._key(url, mapped, ""))
            cache.put([value], *self._key(url, mapped, version))
        return version

    def seed(self, values: Mapping[str, Callable[[], str]], write: bool = True) -> list[str]:
        """Set those secrets that the vault does not have, and leave the others alone; the names of the former.

        :param values: name → what makes its value.
        :param write: ``False`` only tells.
        :raises SecretError: what keeps from reading or writing them.
        """
        url, mapped = self._settings.url(Reference("")), {name: secret_name(name) for name in values}
        cache = self._cache()
        with self._alone(cache, url):
            # What the run believes to be missing may have been set by somebody else since.
            present = _read(url, self._settings, cache, [(name, "") for name in dict.fromkeys(mapped.values())])
            missing = [name for name in values if present[(mapped[name], "")] is None]
            if write:
                for name in missing:
                    self.put(name, values[name]())
        return missing

    # Renewing: the new version says by a tag that it is not everywhere yet.

    def renewing(self, name: str) -> bool:
        """Whether a renewal has begun and is not settled."""
        current = self._current(name)
        return current is not None and RENEWAL in current.tags

    def renew(self, name: str) -> None:
        """Make a new version with a new value, unless the latest one is being handed out already."""
        with self._alone(self._cache(), self._settings.url(Reference(name))):
            current = self._current(name)
            tags = current.tags if current else {}
            if RENEWAL not in tags:
                content_type = current.content_type if current else None
                self.put(name, self._make(), {**tags, RENEWAL: "unfinished"}, content_type)

    def settle(self, name: str) -> None:
        """Everybody uses the latest version."""
        current = self._current(name)
        if current is not None and RENEWAL in current.tags:
            client = _client(self._settings.url(Reference(name)), self._settings, self._cache())
            kept = {tag: value for tag, value in current.tags.items() if tag != RENEWAL}
            client.tag(secret_name(name), current.version, kept)

    def _current(self, name: str) -> t.Any:
        client = _client(self._settings.url(Reference(name)), self._settings, self._cache())
        return client.current(secret_name(name))

    def remedy(self, reference: Reference) -> str:
        url = self._settings.url(reference)
        name = secret_name(reference.name)
        version = f", or name another version than {reference.version}" if reference.version else ""
        mapped = "" if name == reference.name else f" as {name}"
        return (
            f"store it in {url.removeprefix('https://')}{mapped} "
            f"(az keyvault secret set --vault-name {vault_name(url)} --name {name} --file …){version}"
        )

    def _cache(self) -> RunCache | None:
        if not self._settings.cache:
            return None
        if self._given is not None:
            return self._given
        if self._opened is None:
            try:
                self._opened = RunCache()
            except OSError as error:
                raise SecretError(
                    f"The directory that Ansible has made for this run cannot be written ({error.strerror}), so secrets "
                    "cannot be kept for it. Set ANSIBLE_LOCAL_TEMP to one that can, or keyvault_cache: false."
                ) from None
        return self._opened

    def _key(self, url: str, name: str, version: str) -> tuple[str, ...]:
        """Whatever leads to another answer leads to another key."""
        return ("secret", self._settings.identity, url, name, version)

    def _alone(self, cache: RunCache | None, url: str) -> contextlib.AbstractContextManager[None]:
        """No other process of the run asks this vault for the same identity meanwhile."""
        if cache is None:
            return contextlib.nullcontext()
        return cache.locked(self._settings.timeout + 1, "vault", self._settings.identity, url)

    def _of_vault(self, url: str, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        cache = self._cache()
        if cache is None:
            return _read(url, self._settings, None, wanted)
        found = self._known(cache, url, wanted)
        if len(found) == len(wanted):
            return found
        began = time.monotonic()
        # With other settings it may go well.
        scope = (url, repr(dataclasses.astuple(self._settings)))
        with self._alone(cache, url):
            found = self._known(cache, url, wanted)
            rest = [each for each in wanted if each not in found]
            if not rest:
                return found
            batch = [text for each in sorted(rest) for text in each]
            self._share(cache, began, scope, batch)
            try:
                read = _read(url, self._settings, cache, rest)
            except SecretError as error:
                shared = getattr(error, "shared", False)
                cache.put([time.monotonic(), str(error)], "failure", *scope, *([] if shared else batch))
                raise
            for (name, version), value in read.items():
                cache.put([value], *self._key(url, name, version))
            return found | read

    def _known(self, cache: RunCache, url: str, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        kept = {each: cache.get(*self._key(url, *each)) for each in wanted}
        return {each: value[0] for each, value in kept.items() if value is not None}

    def _share(self, cache: RunCache, began: float, scope: Sequence[str], batch: Sequence[str]) -> None:
        """Who waited while another failed fails too: waiting for the same again would take as long for each of them.

        What no secret of a vault can be had for holds for a while: a run has many tasks that need one, and a vault that
        does not answer would otherwise be waited for by each.
        """
        for key, seconds in ((("failure", *scope), self._settings.timeout), (("failure", *scope, *batch), 0.0)):
            failure = cache.get(*key)
            if failure is not None and failure[0] >= began - seconds:
                raise SecretError(failure[1])


def _module(name: str) -> t.Any:
    """What needs the SDK.

    :raises SecretError: it is not installed.
    """
    missing = importlib.import_module(f"{_HERE}._azure").MISSING
    if missing:
        raise SecretError(
            f"Azure Key Vault needs the Python packages {' and '.join(PACKAGES)} on the controller, and {missing} is missing. "
            f"Install them for the Python that runs Ansible: {sys.executable} -m pip install {' '.join(PACKAGES)}"
        )
    return importlib.import_module(f"{_HERE}.{name}")


def _client(url: str, settings: Settings, cache: RunCache | None) -> t.Any:
    client = _module("_key_vault_client")
    return client.Client(url, settings, _module("_key_vault_identity").choose(settings, os.environ), cache)


def _read(
    url: str, settings: Settings, cache: RunCache | None, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], str | None]:
    asked = {each: _module("_key_vault_client").Wanted(*each) for each in wanted}
    values = _client(url, settings, cache).read(list(asked.values()))
    return {each: values[question] for each, question in asked.items()}
