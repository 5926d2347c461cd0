# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that are named: what a provider is asked for, and what it says when something is wrong.

Private to this collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from dataclasses import dataclass


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
