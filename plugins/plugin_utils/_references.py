# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that are named: how a text refers to them, what a provider is asked for, and what it says when something is
wrong.

Private to this collection.
"""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


class SecretError(Exception):
    """Says in one or more sentences what is wrong and what to do. Never holds a value."""


@dataclass(frozen=True)
class Reference:
    """A secret, named. ``version`` and ``vault`` (a name or a URL) are empty unless the reference gave them."""

    name: str
    version: str = ""
    vault: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.name, self.version) if part)


class Provider(t.Protocol):
    """Where secrets come from."""

    @property
    def name(self) -> str: ...

    def get(self, references: Sequence[Reference]) -> dict[Reference, str]:
        """The values of those references that this provider has. One call is one batch."""

    def remedy(self, reference: Reference) -> str:
        """How to give this provider a secret that it does not have: half a sentence in the imperative."""


FORMS = (
    "@keyvault/Name, @keyvault/Name/version, "
    "@Microsoft.KeyVault(SecretUri=https://…/secrets/Name) or @Microsoft.KeyVault(VaultName=…;SecretName=…)"
)
_SHORT = re.compile(r"@keyvault/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<version>/[A-Za-z0-9][A-Za-z0-9._-]*)?(?!\w)")
_APP_SERVICE = re.compile(r"@Microsoft\.KeyVault\((?P<inside>[^()]*)\)", re.IGNORECASE)
# What nobody writes who does not mean a secret: in any case and spelling, but not as the beginning of a longer word such
# as the domain of a mail address, unless a text begins with it.
_LIKE = re.compile(
    r"@(?:microsoft\.)?key[-_]?vaults?(?![A-Za-z0-9_-]|\.[A-Za-z0-9])|\A\s*@(?:microsoft\.)?key[-_]?vault",
    re.IGNORECASE,
)
# The same misspelt: the word before the name, and what it is near to. Short forms only at the beginning of a text, as they
# may be the name of a host after a user's, user@kv/path. Other words are nobody's slip: @scope/package is a value.
_WORD = re.compile(r"@(?:microsoft\.)?(?P<word>[A-Za-z][A-Za-z_-]{1,30})(?=[/:(])", re.IGNORECASE)
_SCHEME = "keyvault"
_SHORT_FORMS = ("kv", "akv", "azurekv", "azurekeyvault")
_CLOSE = 0.8
# A name with blanks: nothing but words after a reference that begins the text.
_WORDS = re.compile(r"@keyvault/[\w.-]+( +[\w.-]+)+")
_SHOWN = re.compile(r"[^\s;,&\"']{0,60}")


def split(text: str) -> list[str | Reference]:
    """A text in its parts: what stands for itself, and the references in it, in their order.

    ``@keyvault/Name`` may be a part of a longer text; the name is as long as it can be. With a version,
    ``@keyvault/Name/version``, it is the whole text, because a ``/`` after a name may also belong to what follows. The
    forms of Azure App Service end by themselves: ``@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/Name)`` and
    ``@Microsoft.KeyVault(VaultName=vault;SecretName=Name;SecretVersion=version)``.

    :raises SecretError: for what looks like a reference and is none: passing it on would hide a mistake.
    """
    parts: list[str | Reference] = []
    place = 0
    if _WORDS.fullmatch(text):
        raise SecretError(f"Not a reference to a secret: {text[:60]!r}. Expected a name without blanks.")
    for start in _starts(text):
        if start < place:
            continue  # within the parentheses of the one before
        match = _SHORT.match(text, start) or _APP_SERVICE.match(text, start)
        reference = _reference(match.groupdict()) if match else None
        if match is None or reference is None:
            raise _broken(text[start:])
        if text != match[0] and text.strip() == match[0]:
            raise SecretError(
                f"Not a reference alone: {text!r} has blanks or an end of line at it. Expected {match[0]!r}."
            )
        more = match.re is _SHORT and (match["version"] or text[match.end() : match.end() + 1] == "/")
        if more and match[0] != text:
            raise SecretError(
                f"Not clear where a reference ends: {match[0]!r} beside other text. Expected a name that no / follows. "
                f"Write {{{{ lookup('durable.temporal.secret', '{reference.name}') }}}} in its place."
            )
        parts += [text[place:start], reference]
        place = match.end()
    return [part for part in (*parts, text[place:]) if part]


def parse(text: str) -> Reference | None:
    """The reference that a whole text is, or ``None`` for any other text.

    :raises SecretError: it looks like a reference and is none, or is a part of the text only.
    """
    first, *others = split(text) or [""]
    if isinstance(first, Reference) and not others:
        return first
    if refers(text):
        raise _broken(text)
    return None


def refers(text: str) -> bool:
    """Whether a text holds a reference, or what looks like one."""
    return next(_starts(text), None) is not None


def _starts(text: str) -> Iterator[int]:
    """Where references begin, or what was meant as one."""
    if "@" in text:
        likely = {like.start() for like in _LIKE.finditer(text)}
        likely |= {
            match.start() for match in _WORD.finditer(text) if _near(match["word"], not text[: match.start()].strip())
        }
        yield from sorted(likely)


def _near(word: str, first: bool) -> bool:
    """Whether a word is that of references misspelt.

    :param first: whether it begins the text.
    """
    plain = re.sub(r"[_-]", "", word).lower()
    if first and plain in _SHORT_FORMS:
        return True
    return difflib.SequenceMatcher(None, plain, _SCHEME, autojunk=False).ratio() > _CLOSE


def _broken(rest: str) -> SecretError:
    # Not the whole text, which may hold a password.
    shown = _SHOWN.match(rest.strip())
    return SecretError(f"Not a reference to a secret: {shown[0] if shown else ''!r}. Expected {FORMS}.")


def _reference(parts: Mapping[str, str | None]) -> Reference | None:
    if name := parts.get("name"):
        return Reference(name, (parts.get("version") or "").removeprefix("/"))
    pairs = (part.partition("=") for part in str(parts.get("inside", "")).split(";"))
    inside = {key.strip().lower(): value.strip() for key, _equals, value in pairs}
    if uri := inside.get("secreturi"):
        url = urlsplit(uri)
        kind, name, version = [*[p for p in url.path.split("/") if p], "", "", ""][:3]
        if url.hostname and kind == "secrets" and name:
            return Reference(name, version, f"{url.scheme}://{url.netloc}")
    elif inside.get("vaultname") and inside.get("secretname"):
        return Reference(inside["secretname"], inside.get("secretversion", ""), inside["vaultname"])
    return None


def texts(structure: t.Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in the values of nested mappings and lists, and where it lies: ``[0].environment.KEY``.

    Keys are never references.
    """
    if isinstance(structure, str):
        yield path, structure
    elif isinstance(structure, Mapping):
        for key, value in structure.items():
            yield from texts(value, f"{path}.{key}")
    elif isinstance(structure, Sequence) and not isinstance(structure, bytes):
        for index, value in enumerate(structure):
            yield from texts(value, f"{path}[{index}]")
