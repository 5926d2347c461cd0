# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lookup has found out once, for all processes of one run, and for nobody else.

Private to this collection. Ansible evaluates lookups in a process of its own for each task and host, so what is kept in
memory is never found again. This keeps it in the directory that Ansible makes for a run and removes at its end.

Everything is encrypted with a key that only the processes of this run have: the one that Python's multiprocessing
gives to a process at its start, from the system's source of randomness, and hands to its children in memory. So what a
run leaves behind that was killed before it could clean up is of no use to anybody.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import importlib
import json
import multiprocessing
import os
import re
import shutil
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from ansible import constants as C

FOLDER = "durable-secrets"
_RUN = re.compile(r"ansible-local-(?P<pid>\d+)[a-z0-9_]{8}")
_POLL_SECONDS = 0.01


class RunCache:
    """Values by key, and locks by name. Keys are tuples of texts."""

    def __init__(self, directory: Path | None = None, secret: bytes | None = None) -> None:
        """
        :param directory: of the run; the one that Ansible has made for it when not given.
        :param secret: what only the processes of the run know; what Python has given them when not given.
        :raises OSError: the directory cannot be written.
        """
        run = Path(C.DEFAULT_LOCAL_TMP) if directory is None else directory
        secret = bytes(multiprocessing.current_process().authkey) if secret is None else secret
        self._names = hmac.digest(secret, b"durable.temporal: names", "sha256")
        # ansible-core needs this package as well, so that it is there; its own tests of imports do without.
        ciphers = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        self._wrong: type[Exception] = importlib.import_module("cryptography.exceptions").InvalidTag
        self._cipher = ciphers.AESGCM(hmac.digest(secret, b"durable.temporal: values", "sha256"))
        self._directory = run / FOLDER
        try:
            self._directory.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            return
        _sweep(run.parent)

    def get(self, *key: str) -> t.Any:
        """The value, or ``None`` when there is none that this run has written."""
        name = self._name(key)
        try:
            sealed = (self._directory / name).read_bytes()
            return json.loads(self._cipher.decrypt(sealed[:12], sealed[12:], name.encode()))
        except (FileNotFoundError, self._wrong):
            return None

    def put(self, value: t.Any, *key: str) -> None:
        """Keep a value that JSON can hold, in place of the one before it."""
        name, nonce = self._name(key), os.urandom(12)
        handle, temporary = tempfile.mkstemp(dir=self._directory)  # 0600
        with os.fdopen(handle, "wb") as stream:
            stream.write(nonce + self._cipher.encrypt(nonce, json.dumps(value).encode(), name.encode()))
        os.replace(temporary, self._directory / name)

    @contextlib.contextmanager
    def locked(self, patience_seconds: float, *key: str) -> Iterator[None]:
        """Nobody else of this run is inside at the same time, unless one stays for longer than we have patience."""
        deadline = time.monotonic() + patience_seconds
        with open(self._directory / f"{self._name(key)}.lock", "wb", opener=_private) as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        break
                    time.sleep(_POLL_SECONDS)
            try:
                yield
            finally:
                fcntl.flock(stream, fcntl.LOCK_UN)

    def _name(self, key: tuple[str, ...]) -> str:
        # Names of files tell nothing either: neither which vault nor which secret.
        return hmac.new(self._names, json.dumps(key).encode(), hashlib.sha256).hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sweep(runs: Path) -> None:
    """Remove what runs have left here that were killed. Nobody can read it any more, but nobody needs it either."""
    for left in runs.glob(f"ansible-local-*/{FOLDER}"):
        match = _RUN.fullmatch(left.parent.name)
        if match and not _alive(int(match["pid"])):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
