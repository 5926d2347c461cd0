# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that talk to Temporal have in common: connection options, SDK, and errors as sentences.

Private to this collection.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import typing as t

from ansible.module_utils.basic import env_fallback
from ansible_collections.durable.temporal.plugins.module_utils._client import Json, Settings, Temporal
from ansible_collections.durable.temporal.plugins.module_utils._errors import TemporalError
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._venv import DEFAULT_VENV, provide


def connection_argument_spec() -> dict[str, Json]:
    """Options of the fragment ``durable.temporal.connection``."""
    return {
        "address": {"type": "str", "default": "127.0.0.1:7233", "fallback": (env_fallback, ["TEMPORAL_ADDRESS"])},
        "tls": {"type": "bool"},
        "tls_ca_file": {"type": "path"},
        "tls_ca_data": {"type": "str"},
        "tls_cert_file": {"type": "path"},
        "tls_cert_data": {"type": "str"},
        "tls_key_file": {"type": "path"},
        "tls_key_data": {"type": "str", "no_log": True},
        "tls_server_name": {"type": "str"},
        "api_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["TEMPORAL_API_KEY"])},
        "timeout_seconds": {"type": "float", "default": 10},
        "venv": {"type": "path", "default": DEFAULT_VENV, "fallback": (env_fallback, ["DURABLE_TEMPORAL_VENV"])},
    }


class _Exit:
    """Ends the process without taking the interpreter down in order.

    The SDK's threads may outlive the interpreter's state, which then ends with a fatal error after the result was
    printed. Registered before anything else is, so it runs last: Ansible's own cleaning up has happened by then.
    """

    code = 1
    armed = False

    @classmethod
    def arm(cls) -> None:
        if not cls.armed:
            cls.armed = True
            atexit.register(cls.leave)

    @classmethod
    def leave(cls) -> None:
        if Temporal.used():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(cls.code)


class TemporalModule(Module):
    """An Ansible module with the connection options, check mode and errors as sentences."""

    def __init__(self, argument_spec: t.Mapping[str, Json], **options: t.Any) -> None:
        _Exit.arm()
        super().__init__(
            argument_spec={**connection_argument_spec(), **argument_spec},
            required_together=[
                ["tls_cert_file", "tls_key_file"],
                ["tls_cert_data", "tls_key_data"],
                *options.pop("required_together", []),
            ],
            mutually_exclusive=[
                ["tls_ca_file", "tls_ca_data"],
                ["tls_cert_file", "tls_cert_data"],
                *options.pop("mutually_exclusive", []),
            ],
            supports_check_mode=True,
            **options,
        )

    def exit(self, **result: t.Any) -> t.NoReturn:
        """End with success."""
        _Exit.code = 0
        self.exit_json(**result)
        raise SystemExit(0)

    def fail(self, message: str, **result: t.Any) -> t.NoReturn:
        """End with a sentence for the operator."""
        self.fail_json(msg=message, **result)
        raise SystemExit(1)

    def has_sdk(self) -> bool:
        """Whether the SDK can be imported. May start the module again under another interpreter."""
        return provide(["temporalio"], self.params["venv"]) is not None

    def connect(self, *, retry: bool = True) -> Temporal:
        """Connect to the frontend.

        :raises TemporalError: with a sentence.
        """
        if not self.has_sdk():
            raise TemporalError(
                "sdk_missing",
                f"The Python package temporalio is neither in {sys.executable} nor in venv {self.params['venv']}. "
                "Run the role durable.temporal.temporal_client on this host, or set venv to where it is installed.",
            )
        return Temporal(Settings.from_params(self.params), retry=retry)

    @contextlib.contextmanager
    def connection(self) -> t.Iterator[Temporal]:
        """A connection; any error in the body fails the module with its sentence."""
        try:
            with self.connect() as temporal:
                yield temporal
        except TemporalError as error:
            self.fail(error.message, kind=error.kind)

    @contextlib.contextmanager
    def connection_or_none(self) -> t.Iterator[Temporal | None]:
        """Like :meth:`connection`, but ``None`` in check mode where there is no SDK or no server yet: then predict."""
        temporal: Temporal | None = None
        try:
            try:
                temporal = self.connect()
            except TemporalError as error:
                if not (self.check_mode and error.kind in ("sdk_missing", "unreachable")):
                    raise
            try:
                yield temporal
            finally:
                if temporal is not None:
                    temporal.close()
        except TemporalError as error:
            self.fail(error.message, kind=error.kind)
