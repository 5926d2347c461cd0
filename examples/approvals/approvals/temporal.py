# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to Temporal: one's own server, somebody else's, or Temporal Cloud."""

from __future__ import annotations

from pathlib import Path

from temporalio.client import Client
from temporalio.service import TLSConfig

from .config import Config, Tls


async def connect(config: Config, identity: str, lazy: bool = False) -> Client:
    """A client; a ``lazy`` one exists, and says what is wrong when used, also while the server is away."""
    return await Client.connect(
        config.address,
        namespace=config.namespace,
        identity=identity,
        api_key=config.api_key,
        tls=_tls(config.tls) if config.tls else False,
        lazy=lazy,
    )


def _tls(files: Tls) -> TLSConfig:
    def read(path: str | None) -> bytes | None:
        return Path(path).read_bytes() if path else None

    return TLSConfig(
        server_root_ca_cert=read(files.ca),
        client_cert=read(files.certificate),
        client_private_key=read(files.key),
    )
