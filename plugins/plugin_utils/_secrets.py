# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets by name, from a provider; and references to secrets inside any structure.

Private to this collection. The lookup ``secret`` and the filters that give environments are thin shells around this file.

A provider answers one batch of references at once and returns those that it has; what it does not return is missing.
Asking in batches is what lets a provider that talks to a vault ask once, and lets the caller report everything that is
missing together. Another provider is one class here and one line in :data:`PROVIDERS`.
"""

from __future__ import annotations

import os
import re
import secrets
import string
import tempfile
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.durable.temporal.plugins.module_utils._secrets import register
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault import AzureKeyVault
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import SPEC as KEY_VAULT_SPEC
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import Settings
from ansible_collections.durable.temporal.plugins.plugin_utils._references import (
    Provider,
    Reference,
    SecretError,
    refers,
    split,
    texts,
)

# What others know these by.
__all__ = ["Provider", "Reference", "SecretError"]

# Characters that mean nothing to a shell, an env file, YAML, a URL or a PostgreSQL connection string (RFC 3986, 2.3).
ALPHABET = string.ascii_letters + string.digits + "-_."
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
DEFAULT_LENGTH = 32
SHORTEST_LENGTH = 16


_looking = False


def look_only() -> None:
    """What this process makes up from now on is not kept. A task that judges and changes nothing calls it: each task is a
    process of its own."""
    global _looking  # noqa: PLW0603
    _looking = True


_inventing = True


@contextmanager
def known_only() -> Iterator[None]:
    """Nothing is made up meanwhile: a secret that nobody has is missing."""
    global _inventing  # noqa: PLW0603
    _inventing = False
    try:
        yield
    finally:
        _inventing = True


def looks_only() -> bool:
    """Whether nothing may be written: the task only looks, or ``--check`` was given."""
    return _looking or bool(context.CLIARGS.get("check"))


@t.runtime_checkable
class Renewable(t.Protocol):
    """What a provider has besides, when it can make a new value in place of one that is in use.

    A renewal begins with the new value, and is settled once everybody uses it. While it is not, no other begins: a run
    that was interrupted is finished with the value that it had begun to hand out, however often it is asked again.
    """

    def renewing(self, name: str) -> bool:
        """Whether a renewal has begun and is not settled."""

    def renew(self, name: str) -> None:
        """Make the new value, unless one is being handed out already."""

    def settle(self, name: str) -> None:
        """Everybody uses the new value: forget the one before it."""


@dataclass
class Generated:
    """Files on the controller, one a secret. A file that does not exist is written once, with a random value; unless
    ``write`` is false, as in check mode: then a value is made up for the one who asks, and nothing is changed. With
    ``known`` only, no value is made up at all.

    The directory is 0700, each file 0600. A value is complete when its name appears (written elsewhere, then linked),
    and of several processes that create the same one at once the first wins and all read its value.

    While a value is renewed, the one before it lies beside it as ``.former-NAME``. That is a second link to the file
    before it is anything else, so that of every moment it can be told whether the new value is there.
    """

    directory: Path
    length: int = DEFAULT_LENGTH
    create: bool = True
    write: bool = True
    known: bool = False
    name: str = "generated"

    def get(self, references: Sequence[Reference]) -> dict[Reference, str]:
        found = {}
        for reference in references:
            value = self._read(reference.name)
            if value is None and self.create and not self.known:
                value = self._new(reference.name)
            if value is not None:
                found[reference] = value
        return found

    def remedy(self, reference: Reference) -> str:
        if self.create:
            return (
                f"bring {self.directory / reference.name} from the machine that made the platform, or set secrets_directory "
                "to where such files are"
            )
        return (
            f"write the value into {self.directory / reference.name}, "
            "or set secrets_generate_references: true where a made-up value will do (test systems)"
        )

    def renewing(self, name: str) -> bool:
        path, former = self.directory / name, self._former(name)
        return former.exists() and not (path.exists() and path.samefile(former))

    def renew(self, name: str) -> None:
        with self._writing(name):
            self._directory()
            if self.renewing(name):
                return
            path, former = self.directory / name, self._former(name)
            if path.exists() and not former.exists():
                former.hardlink_to(path)
            with self._made() as temporary:
                temporary.replace(path)

    def settle(self, name: str) -> None:
        with self._writing(name):
            self._former(name).unlink(missing_ok=True)

    def _former(self, name: str) -> Path:
        return self.directory / f".former-{name}"

    def _read(self, name: str) -> str | None:
        path = self.directory / name
        try:
            if self.write and path.stat().st_mode & 0o077:
                path.chmod(0o600)
            value = path.read_text(encoding="utf-8").removesuffix("\n")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(
                f"The file {path} of the secret {name} cannot be read ({_cause(error)}). Expected a text file of yours."
            ) from None
        if not value:
            raise SecretError(
                f"The file {path} of the secret {name} is empty. "
                "Write the value into it, or remove it to have one made."
            )
        return value

    def _new(self, name: str) -> str | None:
        with self._writing(name):
            if not self.write:
                return password(self.length)
            self._directory()
            with self._made() as temporary:
                try:
                    (self.directory / name).hardlink_to(temporary)
                except FileExistsError:
                    pass  # Another fork was first: its value counts.
        return self._read(name)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        if self.length < SHORTEST_LENGTH:
            raise SecretError(
                f"The length asked for the secret {name} is {self.length}; expected {SHORTEST_LENGTH} or more."
            )
        try:
            yield
        except OSError as error:
            raise SecretError(
                f"The secret {name} cannot be written below {self.directory} ({_cause(error)}). "
                "Set secrets_directory to a directory on the controller that you may write."
            ) from None

    @contextmanager
    def _made(self) -> Iterator[Path]:
        """A file with a new value, under a name that is gone afterwards."""
        handle, name = tempfile.mkstemp(dir=self.directory, prefix=".new-")  # 0600, O_EXCL
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(password(self.length) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _directory(self) -> None:
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.directory.stat().st_mode & 0o077:
            self.directory.chmod(0o700)
        # The usual place is beside the inventory, which is under version control.
        ignore = self.directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")


@dataclass
class Environment:
    """Variables of the process that runs Ansible: ``DURABLE_SECRET_`` and the name in capitals, ``-`` as ``_``."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    name: str = "env"

    def get(self, references: Sequence[Reference]) -> dict[Reference, str]:
        return {r: self.environ[v] for r in references if self.environ.get(v := self.variable(r.name))}

    def remedy(self, reference: Reference) -> str:
        return f"set the environment variable {self.variable(reference.name)}"

    @staticmethod
    def variable(name: str) -> str:
        """The environment variable of a secret: ``CosmosDbKey`` → ``DURABLE_SECRET_COSMOSDBKEY``."""
        return "DURABLE_SECRET_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


@dataclass
class First:
    """Several providers, asked in order: the first that has a secret gives it."""

    providers: Sequence[Provider]

    @property
    def name(self) -> str:
        return ", ".join(p.name for p in self.providers)

    def get(self, references: Sequence[Reference]) -> dict[Reference, str]:
        found: dict[Reference, str] = {}
        for provider in self.providers:
            rest = [r for r in references if r not in found]
            if rest:
                found |= provider.get(rest)
        return found

    def remedy(self, reference: Reference) -> str:
        return ", or ".join(p.remedy(reference) for p in self.providers)


@dataclass
class Renewed:
    """A provider as it will be when these secrets have been renewed, for check mode, which renews none."""

    source: Provider
    names: frozenset[str]
    length: int = DEFAULT_LENGTH

    @property
    def name(self) -> str:
        return self.source.name

    def get(self, references: Sequence[Reference]) -> dict[Reference, str]:
        rest = [r for r in references if r.name not in self.names]
        return {
            **(self.source.get(rest) if rest else {}),
            **{r: password(self.length) for r in references if r.name in self.names},
        }

    def remedy(self, reference: Reference) -> str:
        return self.source.remedy(reference)


def predicted(source: Provider, renewed: t.Any, length: int) -> Provider:
    """The provider, as it will be after a renewal that check mode has only told. Outside of check mode, as it is.

    :param renewed: value of :data:`RENEWED`; nobody but a playbook of ours sets it.
    """
    names = frozenset(map(str, renewed)) if isinstance(renewed, list) and context.CLIARGS.get("check") else frozenset()
    return Renewed(source, names, length) if names else source


@dataclass(frozen=True)
class Options:
    """What a provider may need to know. ``directory`` is on the controller; empty when nobody said one.

    Without ``write``, what is made up is not kept.

    ``vault`` finds out the settings of a key vault, which are templates and lookups of their own, only when there is one.
    """

    directory: str = ""
    length: int = DEFAULT_LENGTH
    create: bool = True
    write: bool = True
    vault: t.Callable[[], Settings] | None = field(default=None, compare=False)


def _generated(options: Options) -> Provider:
    if not options.directory:
        raise SecretError(
            "secrets_directory is not set or relative, and there is no inventory directory to begin at. "
            "Set secrets_directory to the absolute path of a directory on the controller."
        )
    write = options.write and not looks_only()
    return Generated(Path(options.directory), options.length, options.create, write, not _inventing)


def _azure_keyvault(options: Options) -> Provider:
    return AzureKeyVault(options.vault() if options.vault else Settings(), make=lambda: password(options.length))


PROVIDERS: dict[str, t.Callable[[Options], Provider]] = {
    "generated": _generated,
    "env": lambda options: Environment(),
    "azure_keyvault": _azure_keyvault,
}


def provider(names: Sequence[str], options: Options) -> Provider:
    """The provider of that name, or a chain when there are several names.

    :raises SecretError: for a name that does not exist, and for a provider that lacks something.
    """
    unknown = [n for n in names if n not in PROVIDERS]
    if unknown or not names:
        raise SecretError(
            f"secrets_provider is {', '.join(map(repr, unknown)) or 'empty'}; "
            f"expected one or more of {', '.join(PROVIDERS)}."
        )
    made = [PROVIDERS[n](options) for n in names]
    return made[0] if len(made) == 1 else First(made)


# Option → the variable that sets it.
VARIABLES = {
    "provider": "secrets_provider",
    "directory": "secrets_directory",
    "length": "secrets_length",
    "generate": "secrets_generate_references",
}


# A variable of plays that change no secret. Their tasks and templates are many processes, which share nothing else.
KEPT = "__secrets_kept"
# A variable of plays after a renewal: the names of the secrets that it was about.
RENEWED = "__secrets_renewed"


# The same variables as options of a role, for preflight.
SPEC: dict[str, dict[str, t.Any]] = {
    "secrets_provider": {"type": "list", "elements": "str", "choices": list(PROVIDERS)},
    "secrets_directory": {"type": "path"},
    "secrets_length": {"type": "int"},
    "secrets_generate_references": {"type": "bool"},
    **KEY_VAULT_SPEC,
}
PREFIXES = ("secrets", "keyvault")


def directory_of(written: t.Any, inventory_dir: t.Any) -> str:
    """Where generated values lie: a relative path begins beside the inventory, wherever the playbook is run. Empty when it
    is relative and the inventory is no file.

    :param written: as somebody said it; ``.secrets`` when nobody did.
    """
    path = Path(str(written or ".secrets")).expanduser()
    if path.is_absolute():
        return str(path)
    return str(Path(str(inventory_dir)) / path) if inventory_dir else ""


def settings(
    given: Mapping[str, t.Any], variables: Mapping[str, t.Any], environ: Mapping[str, str]
) -> tuple[list[str], Options]:
    """What to use for references: as given, else from the variables, else from the environment, else the default.

    :param given: ``provider``, ``directory``, ``length``, ``generate``; absent ones were not given.
    :param variables: rendered variables, by the names in :data:`VARIABLES`, ``inventory_dir`` and :data:`KEPT`.
    :returns: the names of the providers, and their options. Unlike passwords of our own, references name something that
        exists elsewhere, so nothing is made up for them unless ``generate`` says so.
    """

    def option(name: str, default: t.Any) -> t.Any:
        for value in (
            given.get(name),
            variables.get(VARIABLES[name]),
            environ.get(f"DURABLE_{VARIABLES[name].upper()}"),
        ):
            if value is not None:
                return value
        return default

    names = option("provider", ["generated"])
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    try:
        length, generate = int(option("length", DEFAULT_LENGTH)), boolean(option("generate", False))
    except (TypeError, ValueError):
        raise SecretError(
            "secrets_length or secrets_generate_references cannot be read; expected a number, and true or false."
        ) from None
    directory = directory_of(option("directory", ""), variables.get("inventory_dir"))
    return [str(n) for n in names], Options(directory, length, generate, bool(variables.get(KEPT, True)))


def fetch(source: Provider, references: Sequence[Reference]) -> dict[Reference, str]:
    """All these secrets, registered for masking.

    :raises SecretError: names every bad or missing one, each with what to do about it.
    """
    wanted = list(dict.fromkeys(references))
    bad = [r for r in wanted if not NAME.fullmatch(r.name)]
    if bad:
        raise SecretError(
            f"Not a name of a secret: {', '.join(repr(r.name) for r in bad)}. "
            "Expected letters, digits, dots, dashes and underscores, with a letter or digit first."
        )
    found = source.get(wanted)
    register(found.values())
    missing = [r for r in wanted if r not in found]
    if missing:
        lines = "\n".join(f"- {r}: {source.remedy(r)}." for r in missing)
        count = "1 secret is" if len(missing) == 1 else f"{len(missing)} secrets are"
        raise SecretError(f"{count} not known to the provider {source.name}:\n{lines}")
    return {r: found[r] for r in wanted}


def renewable(source: Provider, names: Sequence[str], *, strict: bool = True) -> dict[str, Renewable]:
    """Of each secret, the provider that gives it, where that can make a new value of it.

    :param strict: whether it is an error that one cannot; otherwise it is left out.
    :raises SecretError: names every secret whose provider takes new values from somebody else.
    """
    givers = source.providers if isinstance(source, First) else [source]
    found: dict[str, Renewable] = {}
    refused = []
    for name in names:
        reference = Reference(name)
        # The last one gives what nobody before it has.
        giver = next((p for p in givers[:-1] if p.get([reference])), givers[-1])
        if isinstance(giver, Renewable):
            found[name] = giver
        else:
            refused.append(f"- {name}: {giver.remedy(reference)}, then rotate without asking for a new one.")
    if refused and strict:
        lines = "\n".join(refused)
        raise SecretError(f"New values of these secrets are not made here but by you or your pipeline:\n{lines}")
    return found


def password(length: int) -> str:
    """A random value of that many characters of :data:`ALPHABET`: a letter first, and one of each kind somewhere."""
    while True:
        value = "".join(secrets.choice(ALPHABET) for _index in range(length))
        # Starting with a letter keeps it from being read as an option or a number, and many password policies ask for
        # one of each kind. About one in two candidates passes.
        if value[0].isalpha() and all(any(c in kind for c in value) for kind in _KINDS):
            return value


_KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)


def resolve(structure: t.Any, source: t.Callable[[], Provider]) -> t.Any:
    """A copy of the structure with each reference replaced by its secret, all fetched in one batch.

    :param source: makes the provider; not called when there is nothing to resolve.
    :raises SecretError: names every reference that is broken, or every one that is missing.
    """
    found, broken = _find(structure)
    if broken:
        raise SecretError("\n".join(broken.values()))
    wanted = [reference for references in found.values() for reference in references]
    values = fetch(source(), wanted) if wanted else {}

    def copy(part: t.Any) -> t.Any:
        if isinstance(part, str):
            return "".join(p if isinstance(p, str) else values[p] for p in split(part)) if refers(part) else part
        if isinstance(part, Mapping):
            return {key: copy(value) for key, value in part.items()}
        if isinstance(part, Sequence) and not isinstance(part, bytes):
            return [copy(value) for value in part]
        return part

    return copy(structure)


def unresolved(structure: t.Any, source: t.Callable[[], Provider]) -> dict[str, str]:
    """Each place of the structure whose text cannot be resolved, and the rest of a sentence about it.

    :param source: makes the provider; not called when there is nothing to resolve.
    :raises SecretError: what keeps from asking for any.
    """
    found, broken = _find(structure)
    wanted = list(dict.fromkeys(reference for references in found.values() for reference in references))
    asked = source() if wanted else None
    have = asked.get([r for r in wanted if NAME.fullmatch(r.name)]) if asked else {}
    register(have.values())
    missing = {
        path: _lacks(asked, [r for r in dict.fromkeys(references) if r not in have])
        for path, references in found.items()
        if asked and not set(references) <= set(have)
    }
    return {**{path: f"cannot be resolved. {text}" for path, text in broken.items()}, **missing}


def _lacks(source: Provider, missing: Sequence[Reference]) -> str:
    """Rest of a sentence: what it refers to, and how to have it."""
    names = ", ".join(map(str, missing))
    if bad := [r.name for r in missing if not NAME.fullmatch(r.name)]:
        return f"refers to {bad[0]!r}, which is not the name of a secret; expected one of up to 127 characters."
    which = f"the secret {names}, which is" if len(missing) == 1 else f"the secrets {names}, which are"
    steps = " ".join(f"{step[:1].upper()}{step[1:]}." for step in map(source.remedy, missing))
    return f"refers to {which} not known to the provider {source.name}; expected what it has. {steps}"


def _find(structure: t.Any) -> tuple[dict[str, list[Reference]], dict[str, str]]:
    """The references of each place, and what is wrong with what looks like one."""
    found: dict[str, list[Reference]] = {}
    broken: dict[str, str] = {}
    for path, text in texts(structure):
        if refers(text):
            try:
                found[path] = [part for part in split(text) if isinstance(part, Reference)]
            except SecretError as error:
                broken[path] = str(error)
    return found, broken


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
