# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One vault, asked through the SDK by one identity, and within a time that it has in all.

Private to this collection. The SDK makes each request once; what is worth repeating is repeated here, where it is known
how much time is left. Requests run in threads that are left behind when the time is over, because not everything that
can hang has a timeout of its own: the resolver, a server that sends one byte a second, the Azure CLI.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
import time
import typing as t
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urlsplit

from ansible_collections.durable.temporal.plugins.plugin_utils import _azure as azure
from ansible_collections.durable.temporal.plugins.plugin_utils import _key_vault_errors as errors
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_identity import Identity, Tokens, network
from ansible_collections.durable.temporal.plugins.plugin_utils._key_vault_settings import Settings
from ansible_collections.durable.temporal.plugins.plugin_utils._run_cache import RunCache

_WIDTH = 8
_GRACE_SECONDS = 0.2
_T = t.TypeVar("_T")

# Errors are told in words; the SDK would write them to the terminal and the log of the run as well.
for _name in ("azure", "msal"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Current:
    """The latest version of a secret as it is kept, whatever its dates say."""

    version: str
    tags: t.Mapping[str, str]
    content_type: str | None


@dataclass(frozen=True)
class Wanted:
    """A secret of the vault; an empty version is the latest one."""

    name: str
    version: str = ""


class Client:
    """One vault. Safe for several threads."""

    def __init__(self, url: str, settings: Settings, identity: Identity, cache: RunCache | None) -> None:
        self._url = url
        self._settings = settings
        self._identity = identity
        self._cache = cache
        self._tokens = Tokens(identity, cache, settings.timeout)
        self._first = threading.Lock()
        self._asked_for: tuple[str, str] | None = None
        self._learnt: tuple[str, str] | None = None
        more = {"api_version": settings.api_version} if settings.api_version else {}
        self._client = azure.SecretClient(
            url,
            self._tokens,
            verify_challenge_resource=settings.verify_challenge,
            raw_request_hook=self._authorize,
            raw_response_hook=self._heed,
            **network(settings),
            **more,
        )

    def read(self, wanted: Sequence[Wanted]) -> dict[Wanted, str | None]:
        """Their values; ``None`` for those that the vault does not have.

        :raises SecretError: what keeps from reading them, all of them that can be told together.
        """
        found = self._together([(each, lambda s, each=each: self._get(each, s)) for each in wanted], "read")  # type: ignore[misc]
        return {each: found[each] for each in wanted}

    def write(self, name: str, value: str, tags: t.Mapping[str, str], content_type: str | None = None) -> str:
        """Set a secret; its new version.

        :raises SecretError: what keeps from writing it.
        """
        wanted = Wanted(name)
        about: dict[str, t.Any] = {"content_type": content_type} if content_type else {}

        def put(seconds: float) -> str:
            made = self._client.set_secret(
                name, value, tags=dict(tags) or None, connection_timeout=seconds, read_timeout=seconds, **about
            )
            return str(made.properties.version)

        return self._together([(wanted, put)], "written")[wanted]

    def current(self, name: str) -> Current | None:
        """What there is of a secret; ``None`` when the vault does not have it.

        :raises SecretError: what keeps from asking.
        """
        wanted = Wanted(name)

        def get(seconds: float) -> Current | None:
            try:
                about = self._client.get_secret(name, connection_timeout=seconds, read_timeout=seconds).properties
            except Exception as error:
                if errors.is_missing(error):
                    return None
                raise
            return Current(str(about.version), dict(about.tags or {}), about.content_type)

        return self._together([(wanted, get)], "read")[wanted]

    def tag(self, name: str, version: str, tags: t.Mapping[str, str]) -> None:
        """Give a version these tags, and no others.

        :raises SecretError: what keeps from writing them.
        """
        wanted = Wanted(name, version)

        def put(seconds: float) -> None:
            self._client.update_secret_properties(
                name, version, tags=dict(tags), connection_timeout=seconds, read_timeout=seconds
            )

        self._together([(wanted, put)], "written")

    # The token goes along with the first request, instead of being asked for by an answer, where the name of the vault
    # says what the token must be for. With the others the SDK asks first, and checks the answer; from then on it is known.

    @property
    def _key(self) -> tuple[str, str, str]:
        return ("scope", self._url, "checked" if self._settings.verify_challenge else "unchecked")

    def _scope(self) -> tuple[str, str]:
        if scope := self._settings.scope(self._url):
            return scope, ""
        if not self._learnt and self._cache is not None and (kept := self._cache.get(*self._key)):
            self._learnt = (kept[0], kept[1])
        return self._learnt or ("", "")

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One at a time, until one has learnt what a token must be for."""
        with contextlib.ExitStack() as alone:
            alone.enter_context(self._first)
            if self._scope()[0]:
                alone.close()
            yield

    def _authorize(self, request: t.Any) -> None:
        # A request with a body is first sent without it by the SDK: that one must be turned down, not understood.
        if request.http_request.method == "GET" and "Authorization" not in request.http_request.headers:
            scope, tenant = self._scope()
            if scope:
                token = self._tokens.get_token(scope, **({"tenant_id": tenant} if tenant else {}))
                request.http_request.headers["Authorization"] = f"Bearer {token.token}"

    def _heed(self, response: t.Any) -> None:
        token = response.http_request.headers.get("Authorization", "").removeprefix("Bearer ")
        refused = response.http_response.status_code == 401
        if token and refused:
            self._tokens.refuse(token)
        if refused:
            self._asked_for = _asks_for(response.http_response.headers.get("WWW-Authenticate", ""))
        elif token and self._asked_for and not self._settings.scope(self._url):
            # The SDK has given one for this question, so it was a right one.
            self._learnt, self._asked_for = self._asked_for, None
            if self._cache is not None:
                self._cache.put(list(self._learnt), *self._key)

    def _get(self, wanted: Wanted, seconds: float) -> str | None:
        try:
            got = self._client.get_secret(
                wanted.name, wanted.version or None, connection_timeout=seconds, read_timeout=seconds
            )
        except Exception as error:
            if errors.is_missing(error):
                return None
            raise
        self._check_dates(got, wanted)
        return got.value or ""

    def _check_dates(self, got: azure.KeyVaultSecret, wanted: Wanted) -> None:
        # A vault hands expired secrets out, for the sake of recovery.
        now = datetime.now(timezone.utc)
        ends, begins = got.properties.expires_on, got.properties.not_before
        if self._settings.allow_expired:
            return
        if ends is not None and ends <= now:
            raise errors.VaultError(errors.expired(self._case(wanted), f"{ends:%Y-%m-%d}"), shared=False)
        if begins is not None and begins > now:
            raise errors.VaultError(errors.not_yet(self._case(wanted), f"{begins:%Y-%m-%d}"), shared=False)

    def _case(self, wanted: Wanted | None, verb: str = "read") -> errors.Case:
        return errors.Case(
            self._url,
            wanted.name if wanted else "",
            self._identity.words,
            self._identity.who,
            self._settings.authority_host,
            self._settings.timeout,
            verb,
            own=bool(self._settings.authority),
            discovery=self._settings.instance_discovery,
            hidden=self._settings.hidden,
        )

    # Time

    def _together(self, jobs: Sequence[tuple[Wanted, Callable[[float], _T]]], verb: str) -> dict[Wanted, _T]:
        """All of these at once, within the timeout."""
        deadline = time.monotonic() + self._settings.timeout
        waiting: queue.SimpleQueue[tuple[Wanted, Callable[[float], _T]]] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        done: dict[Wanted, _T] = {}
        failed: dict[Wanted, errors.VaultError] = {}

        def work() -> None:
            while not any(error.shared for error in list(failed.values())):
                try:
                    wanted, job = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    with self._in_turn():
                        done[wanted] = self._patiently(job, deadline)
                except Exception as error:
                    failed[wanted] = errors.explain(error, self._case(wanted, verb))

        threads = [threading.Thread(target=work, daemon=True) for _number in range(min(_WIDTH, len(jobs)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()) + _GRACE_SECONDS)
        told = dict(failed)
        for error in told.values():
            if error.shared:
                raise error
        if told:
            raise errors.VaultError("\n".join(str(e) for e in told.values()), shared=False)
        results = dict(done)
        if len(results) < len(jobs):
            raise errors.explain(errors.OutOfTime(), self._case(None, verb))
        return results

    def _patiently(self, job: Callable[[float], _T], deadline: float) -> _T:
        """Do it until it succeeds, or is hopeless, or the time is over."""
        tries = 0
        while True:
            left = deadline - time.monotonic()
            # One that gets stuck leaves time for another.
            more = tries < self._settings.retries
            try:
                return job(max(0.05, left / 2 if more else left))
            except Exception as error:
                again = errors.wait_for(error, tries)
                if again is None or (again[1] and not more) or time.monotonic() + again[0] >= deadline:
                    raise
                tries += again[1]
                time.sleep(again[0])


def _asks_for(challenge: str) -> tuple[str, str] | None:
    """The scope of the token that a vault asks for, and its tenant, as the SDK reads them; ``None`` when it asks for none."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    scope = asked.get("scope") or (f"{asked['resource']}/.default" if asked.get("resource") else "")
    authority = asked.get("authorization_uri") or asked.get("authorization") or ""
    return (scope, urlsplit(authority).path.strip("/").partition("/")[0]) if scope and authority else None
