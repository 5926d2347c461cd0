# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of an application on a host: what is there, what is live, what comes next.

Private to this collection. Layout below an application's root::

    releases/<id>/            one unpacked artifact with its dependencies and a REVISION file
    releases/<id>.partial/    one that was not finished
    shared/                   what outlives releases; shared/deploys.log says who did what, when
    current -> releases/<id>  the live release
    .lock                     held by a run of a playbook while something changes, see ``_lock``

The upper half is pure and tested by tables; :class:`Store` does what it says on disk.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import os
import posixpath
import re
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._lock import Lock, Run
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PARTIAL = ".partial"
LOCK = ".lock"
# Of ``REVISION``, what the dependencies were installed from and with.
FACTS = ("lock_digest", "manifest_digest", "node", "python", "scripts")
# What an artifact holds at its root, by how its dependencies are installed (see ``_dependencies``).
NEEDED: dict[str, tuple[str, ...]] = {
    "npm": ("package.json", "package-lock.json"),
    "wheels": ("requirements.lock", "wheels/"),
    "none": (),
}
# What the installation of dependencies makes.
INSTALLED = {"npm": "node_modules", "wheels": "venv"}
OTHERWISE = " Build it so, or declare dependencies: none for what runs as it is, such as a Go program, wheels for Python, npm for Node.js."
# What the kernel says of a disk or a quota without room, and the words for it that package clients print.
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_WORDS = ("ENOSPC", "EDQUOT", os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
MAKE_ROOM = "Free some space (df -h and df -i tell where), or lower keep_releases, and deploy again."


def advice(said: str) -> str:
    """The next step after what a program said, when it ran out of room; else nothing."""
    return f". {MAKE_ROOM}" if any(word in said for word in FULL_WORDS) else ""


class ReleaseError(Exception):
    """Why a release cannot be installed or made live; the text is for the operator."""

    @classmethod
    def unwritable(cls, place: Path, error: OSError) -> ReleaseError:
        """The disk refused something below a place."""
        where = f" ({error.filename})" if error.filename else ""
        step = f" {MAKE_ROOM}" if error.errno in FULL else ""
        return cls(f"{place} cannot be written: {error.strerror}{where}.{step}")


class Dependencies(t.Protocol):
    """How the dependencies of a release are installed. The kinds are in ``_dependencies``."""

    @property
    def kind(self) -> str:
        """A key of :data:`NEEDED`."""

    @property
    def spare_mb(self) -> int:
        """Room that is needed besides the unpacked artifact."""

    @property
    def shared(self) -> str:
        """The directory that a kept release with the same facts lends by hard links; empty when it cannot."""

    def facts(self, account: Account, place: Path) -> dict[str, str]:
        """What the installed dependencies depend on, for ``REVISION``: digest of the lock, version of the runtime."""

    def install(self, account: Account, place: Path, final: Path, cache: Path) -> None:
        """Install them in ``place``, which is renamed to ``final`` when everything is done.

        :raises ReleaseError: why that failed.
        """


@dataclass(frozen=True)
class Release:
    """One kept release. ``bad`` is the reason for which it was rejected, empty when it was not."""

    id: str
    digest: str = ""
    bad: str = ""
    # What its dependencies were installed from and with; nothing else of a release is compared with another.
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class State:
    """What is on a host: kept releases by id, the id that is live (empty: none), and those that were live before it.

    ``history`` is the stack of live releases, oldest first; its last entry is the live one. What was gone back from is not
    on it, but in ``served``: all that have ever been live, by when they were last.
    """

    releases: tuple[Release, ...] = ()
    live: str = ""
    history: tuple[str, ...] = ()
    served: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()

    def find(self, release_id: str) -> Release | None:
        return next((r for r in self.releases if r.id == release_id), None)

    def by_digest(self, digest: str) -> Release | None:
        """The kept release that was made from an artifact: the live one if it is that, else the newest."""
        same = [r for r in self.releases if r.digest == digest]
        return next((r for r in same if r.id == self.live), same[-1] if same else None)

    def previous(self) -> str:
        """The kept release that was live before the live one and was not rejected; empty when there is none."""
        kept = {r.id for r in self.releases if not r.bad}
        stack = [i for i in self.history if i != self.live]
        return next((i for i in reversed(stack) if i in kept), "")

    def as_item(self) -> dict[str, t.Any]:
        """For a comparison and its diff."""
        return {
            "live": self.live,
            "releases": [r.id for r in self.releases],
            "bad": {r.id: r.bad for r in self.releases if r.bad},
            "partial": list(self.partial),
        }


def outcome(name: str, before: State, after: State, predicted: bool = False) -> str:
    """What is live, what was live before, and how to go back, for the operator. Two lines.

    :param predicted: nothing is done, as in check mode.
    """
    if not after.live:
        return f"{name}: no release is live\n  There is none to go back to"
    back = after.previous()
    if after.live == before.live:
        text = f"{name}: release {after.live} is live, as before"
    else:
        word = "would be" if predicted else "is"
        text = f"{name}: release {after.live} {word} live; before it {before.live or 'none'} was"
        former = after.find(before.live)
        # After a rollback, what was live before is newer than what one more step back would come to.
        back = before.live if former and not former.bad else back
    if not back:
        return f"{text}\n  There is no earlier release to go back to"
    command = f"rollback.yml -e rollback_application={name} -e rollback_release={back}"
    return f"{text}\n  To go back: ansible-playbook -i INVENTORY {command}"


def release_id(now: datetime.datetime, digest: str) -> str:
    """``20261121034500-1a2b3c4d``: sorts by time, names the artifact."""
    return f"{now.astimezone(datetime.timezone.utc):%Y%m%d%H%M%S}-{digest[:8]}"


def after_install(state: State, release: Release) -> State:
    """The state with a further release, and without what interrupted runs left."""
    others = tuple(r for r in state.releases if r.id != release.id)
    return replace(state, releases=tuple(sorted((*others, release), key=lambda r: r.id)), partial=())


def after_switch(state: State, target: str, back: bool = False) -> State:
    """The state with another release live.

    :param back: going back takes the releases that came after ``target`` off the history, so that going back once more
        walks further back; going forward puts ``target`` on top. What is made live is no longer marked bad.
    """
    releases = tuple(replace(r, bad="") if r.id == target else r for r in state.releases)
    if target == state.live:
        return replace(state, releases=releases)
    history = push(state.history, target, back)
    served = push(state.served, target, back=False)
    return replace(state, live=target, history=history, served=served, releases=releases)


def push(history: t.Sequence[str], target: str, back: bool) -> tuple[str, ...]:
    """The stack of live releases after one more switch."""
    if back and target in history:
        return tuple(history[: len(history) - list(reversed(history)).index(target)])
    return (*(i for i in history if i != target), target)


def superfluous(state: State, keep: int) -> list[str]:
    """Ids of releases to delete so that ``keep`` stay: rejected ones, then those that were never live, then those that
    were live the longest time ago, so that rollbacks can walk back. An old build that was live last week is not old, and one
    that was gone back from has worked, too. A build that was refused beside the live one was never live.

    Never the live one, the one to go back to, or one that a process still runs in, such as a build that drains.
    """
    protected = {state.live, state.previous(), *state.used} - {""}
    rest = [r for r in state.releases if r.id not in protected]
    rest.sort(key=lambda r: (not r.bad, state.served.index(r.id) if r.id in state.served else -1, r.id))
    surplus = len(rest) - max(0, keep - len(protected))
    return [r.id for r in rest[: max(0, surplus)]]


def after_prune(state: State, keep: int) -> State:
    gone = set(superfluous(state, keep))
    return replace(state, releases=tuple(r for r in state.releases if r.id not in gone))


def reject(state: State, rejected: str, reason: str, before: str = "") -> State:
    """The state with a release marked bad and, when it was live, another one live again if there is any.

    :param reason: why it is bad; empty when it is not to be marked.
    :param before: the release that served before this one: after a rollback, that is not an older one. The previous one
        when empty or not kept.
    """
    marks = tuple(replace(r, bad=reason) if reason and r.id == rejected else r for r in state.releases)
    marked = replace(state, releases=marks)
    if rejected != state.live:
        return marked
    if before != rejected and marked.find(before):
        return after_switch(marked, before, back=before in marked.history)
    previous = marked.previous()
    return after_switch(marked, previous, back=True) if previous else marked


def history_of(entries: t.Iterable[t.Mapping[str, t.Any]], live: str, forget: bool = True) -> tuple[str, ...]:
    """The stack of live releases from the entries of the log. What is really live (the link) has the last word.

    :param forget: whether what was gone back from is taken off. Without, all that have ever been live.
    """
    history: tuple[str, ...] = ()
    for entry in entries:
        if entry.get("action") in ("live", "back") and isinstance(entry.get("release"), str):
            history = push(history, entry["release"], forget and entry["action"] == "back")
    if live and (not history or history[-1] != live):
        history = push(history, live, back=False)
    return history


# --- Archives -----------------------------------------------------------------------------------------------------


def member_path(name: str) -> str:
    """The path of a member below the release, without ``./``; empty for the root itself.

    :raises ReleaseError: it leaves the release.
    """
    path = posixpath.normpath(name)
    if name.startswith("/") or path == ".." or path.startswith("../"):
        raise ReleaseError(
            f"its member {name!r} would be written outside the release. Pack it again with paths below its root."
        )
    return "" if path == "." else path


def check_link(path: str, target: str) -> None:
    """:raises ReleaseError: a symbolic link points out of the release."""
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or resolved == ".." or resolved.startswith("../"):
        raise ReleaseError(
            f"its link {path!r} points to {target!r}, outside the release. Pack the file itself instead."
        )


def check_programs(
    paths: t.Mapping[str, tarfile.TarInfo], programs: t.Mapping[str, str], kind: str = "npm", executed: bool = False
) -> None:
    """Check that an archive has the files that are to be started.

    :param paths: its members by their paths.
    :param programs: process to file; what is installed, or lies outside of the release, is not looked for.
    :param kind: how its dependencies are installed, a key of :data:`NEEDED`.
    :param executed: whether they are executed themselves, and not by an interpreter.
    :raises ReleaseError: which is missing, and where one of its name is; which cannot be executed.
    """
    for process, program in programs.items():
        path = posixpath.normpath(program)
        # Nothing is written through links, but a program may be found through one.
        for link in sorted((p for p, member in paths.items() if member.issym()), reverse=True):
            if path == link or path.startswith(f"{link}/"):
                target = posixpath.join(posixpath.dirname(link), paths[link].linkname)
                path = posixpath.normpath(target + path[len(link) :])
        if path.startswith(("/", "../")) or path.split("/", 1)[0] == INSTALLED.get(kind):
            continue
        if path in paths and (paths[path].isreg() or paths[path].islnk()):
            if executed and not paths[path].mode & stat.S_IXUSR:
                raise ReleaseError(
                    f"its {program}, which process {process} starts, is not executable (mode {paths[path].mode:04o}); "
                    "expected 0755. Set the mode before it is packed (chmod +x), or start it by its interpreter."
                )
            continue
        name = posixpath.basename(path)
        alike = sorted(
            p
            for p, member in paths.items()
            if posixpath.basename(p) == name and not member.isdir() and p != posixpath.normpath(program)
        )
        raise ReleaseError(
            f"it has no {program}, which is what process {process} starts. "
            + (f"It has {', '.join(alike[:3])}: declare that" if alike else "Declare the file that it has")
            + (", or the whole path of a program of the host, such as /usr/bin/python3" if program == name else "")
            + ", or build it so that the file is there."
        )


def check_members(
    members: t.Sequence[tarfile.TarInfo],
    kind: str = "npm",
    programs: t.Mapping[str, str] | None = None,
    executed: bool = False,
) -> None:
    """Check that an archive holds a release, and nothing that writes elsewhere.

    :param kind: how its dependencies are installed, a key of :data:`NEEDED`.
    :param programs: process to the file that it starts.
    :param executed: whether those are executed themselves, and not by an interpreter.
    :raises ReleaseError: what is missing or unsafe.
    """
    paths: dict[str, tarfile.TarInfo] = {}
    for member in members:
        path = member_path(member.name)
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise ReleaseError(
                f"its member {member.name!r} is a device or a pipe; a release holds files, directories and links."
            )
        if member.issym():
            check_link(path, member.linkname)
        if member.islnk():
            member_path(member.linkname)
        paths[path] = member
    links = {path for path, member in paths.items() if member.issym()}
    for path in paths:
        parents = {path[:i] for i, character in enumerate(path) if character == "/"}
        if through := sorted(parents & links):
            raise ReleaseError(
                f"its member {path!r} would be written through the link {through[0]!r}. Pack the file itself instead."
            )
    needed = NEEDED[kind]
    present = {
        n
        for n in needed
        if (any(p.startswith(n) for p in paths) if n.endswith("/") else n in paths and paths[n].isreg())
    }
    if missing := [n for n in needed if n not in present]:
        hint = ""
        if nested := sorted({p.split("/", 1)[0] for p in paths if p.endswith(f"/{needed[0]}") and p.count("/") == 1}):
            hint = f" They lie below {nested[0]}/: pack from inside it (tar -C {nested[0]} -czf FILE .)."
        raise ReleaseError(
            f"it has no {' and no '.join(missing)}; with dependencies {kind} a release is a .tar.gz with "
            f"{' and '.join(needed)} at its root.{hint or OTHERWISE}"
        )
    if not any(member.isreg() for member in paths.values()):
        raise ReleaseError("it holds no file.")
    check_programs(paths, programs or {}, kind, executed)


def check_archive(
    path: str | Path, kind: str = "npm", programs: t.Mapping[str, str] | None = None, executed: bool = False
) -> int:
    """Check that a file is a release that can be unpacked. Returns the unpacked size in bytes.

    For the parameters see :func:`check_members`.

    :raises ReleaseError: why not.
    """
    try:
        with tarfile.open(path, "r:*") as archive:
            members = archive.getmembers()
            check_members(members, kind, programs, executed)
            return sum(m.size for m in members)
    except ReleaseError as error:
        raise ReleaseError(f"the artifact {path} cannot be used: {error}") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ReleaseError(f"the artifact {path} cannot be read as a .tar.gz: {error}. Build it again.") from None


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    :raises ReleaseError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ReleaseError(
            f"the artifact {path} cannot be read: {error.strerror}. Build it, or correct artifact."
        ) from None
    return digest.hexdigest()


def check_digest(path: str, found: str, expected: str) -> None:
    """:raises ReleaseError: the digests differ."""
    if expected and found != expected.lower().removeprefix("sha256:"):
        raise ReleaseError(
            f"the artifact {path} has the SHA-256 digest {found}, expected {expected}. "
            "It is not the file that was built: fetch it again, or correct artifact_sha256."
        )


# --- On disk ------------------------------------------------------------------------------------------------------


class Store:
    """The releases of one application on this host."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.releases = self.root / "releases"
        self.shared = self.root / "shared"
        self.current = self.root / "current"
        self.log = self.shared / "deploys.log"

    def read(self) -> State:
        """:raises ReleaseError: something else lies where the layout has its places."""
        if self.current.exists() and not self.current.is_symlink():
            raise ReleaseError(
                f"{self.current} is not a link; expected a link to the live release. Move it out of the way."
            )
        names = sorted(os.listdir(self.releases)) if self.releases.is_dir() else []
        releases = tuple(
            self._release(n)
            for n in names
            if ID.fullmatch(n) and not n.endswith(PARTIAL) and (self.releases / n).is_dir()
        )
        live = Path(os.readlink(self.current)).name if self.current.is_symlink() else ""
        entries = self.entries()
        return State(
            releases=releases,
            live=live if any(r.id == live for r in releases) else "",
            history=history_of(entries, live),
            served=history_of(entries, live, forget=False),
            partial=tuple(n for n in names if n.endswith(PARTIAL)),
            used=self._used(),
        )

    def _used(self) -> frozenset[str]:
        """The releases that processes of this host run in."""
        releases, found = self.releases.resolve(), set()
        for name in filter(str.isdigit, os.listdir("/proc")):
            # It may have ended meanwhile, and that of another user may not be looked at.
            with contextlib.suppress(OSError):
                place = Path(os.readlink(f"/proc/{name}/cwd"))
                if releases in place.parents:
                    found.add(place.relative_to(releases).parts[0])
        return frozenset(found)

    def _release(self, name: str) -> Release:
        try:
            data = json.loads((self.releases / name / "REVISION").read_text())
        except (OSError, ValueError):
            data = {}
        if not isinstance(data, dict):
            data = {}
        bad = data.get("bad")
        return Release(
            id=name,
            digest=str(data.get("digest", "")),
            bad=str(bad.get("reason", "rejected")) if isinstance(bad, dict) else "",
            facts=tuple((k, str(data[k])) for k in FACTS if k in data),
        )

    def entries(self) -> list[dict[str, t.Any]]:
        """The entries of the log, oldest first. Lines that a full disk cut off are skipped."""
        found = []
        with contextlib.suppress(OSError):
            for line in self.log.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if isinstance(entry, dict):
                        found.append(entry)
        return found

    def prepare(self, account: Account) -> None:
        """Make the directories of the layout. The root stays its owner's; what is below belongs to the application."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path, mode in ((self.releases, 0o755), (self.shared, 0o750)):
            if not path.is_dir():
                path.mkdir(mode=mode)
                os.chown(path, account.uid, account.gid)

    def lock(self, run: Run, take_over: str = "") -> Lock:
        return Lock(self.root / LOCK, run, take_over)

    def append(self, **entry: t.Any) -> None:
        """One line into the log: who did what, when."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "a") as file:
            file.write(json.dumps({"at": now, "host": socket.gethostname(), **entry}) + "\n")

    def clean(self, partial: t.Iterable[str]) -> None:
        """Remove what interrupted runs left."""
        for name in partial:
            shutil.rmtree(self.releases / name)

    def install(
        self,
        release: Release,
        artifact: str,
        account: Account,
        revision: t.Mapping[str, t.Any],
        dependencies: Dependencies,
        writable: t.Iterable[str] = (),
    ) -> Release:
        """Unpack an artifact, install its dependencies and put it at its final name; nothing is left of it on failure.

        :param writable: directories that it has in ``shared/``.
        :raises ReleaseError: why it cannot be installed.
        :raises OSError: it cannot be written.
        """
        size = check_archive(artifact, dependencies.kind)
        self._check_space(size, dependencies.spare_mb)
        place = self.releases / (release.id + PARTIAL)
        try:
            place.mkdir(mode=0o755)
            unpack(artifact, place, dependencies.kind)
            for path in (place, *place.rglob("*")):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
            self.link(place, writable, account)
            facts = dependencies.facts(account, place)
            done = replace(release, facts=tuple((k, facts[k]) for k in FACTS if k in facts))
            if not self._borrow(done, dependencies.shared, place):
                dependencies.install(account, place, self.releases / release.id, self.root / ".cache")
            own = {"id": release.id, "digest": release.digest, "dependencies": dependencies.kind, **facts}
            _write_json(place / "REVISION", {**revision, **own})
            place.rename(self.releases / release.id)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return done

    def _check_space(self, size: int, spare_mb: int) -> None:
        free = shutil.disk_usage(self.releases).free
        needed = size + spare_mb * 1024 * 1024
        if free < needed:
            raise ReleaseError(
                f"{self.releases} has {free >> 20} MB free, expected at least {needed >> 20} MB for a release "
                "and its dependencies. Free some space, or lower keep_releases."
            )

    def _borrow(self, release: Release, shared: str, place: Path) -> bool:
        """Share the files of an identical set of dependencies. False when there is none, or on another file system."""
        twin = next((r for r in reversed(self.read().releases) if r.facts == release.facts), None)
        if not shared or twin is None or not (source := self.releases / twin.id / shared).is_dir():
            return False
        result = subprocess.run(["cp", "-al", str(source), str(place / shared)], check=False, capture_output=True)
        if result.returncode != 0:
            shutil.rmtree(place / shared, ignore_errors=True)
        return result.returncode == 0

    def unlinked(self, release: str, names: t.Iterable[str], kept: bool = False) -> list[str]:
        """Those directories that are to be in ``shared/`` and that a release has no link to.

        :param kept: whether what the release has of its own instead counts as well.
        """
        place = self.releases / release
        return [
            n
            for n in names
            if not (kept and os.path.lexists(place / n))
            and not ((self.shared / n).is_dir() and self._linked(place / n))
        ]

    def link(self, place: Path, names: t.Iterable[str], account: Account) -> None:
        """Make directories that outlive releases, and links to them in the directory of a release.

        :raises ReleaseError: the release has something of that name, or shared/ has no directory of it.
        """
        for name in names:
            shared, link = self.shared / name, place / name
            if not os.path.lexists(shared):
                shared.mkdir(mode=0o750)
                os.chown(shared, account.uid, account.gid, follow_symlinks=False)
            if not shared.is_dir():
                raise ReleaseError(
                    f"{shared} is no directory; expected one, as writable names it. Move it out of the way."
                )
            if self._linked(link):
                continue
            if os.path.lexists(link):
                raise ReleaseError(self._in_the_way(place, name))
            link.symlink_to(f"../../shared/{name}")
            os.chown(link, account.uid, account.gid, follow_symlinks=False)

    def _in_the_way(self, place: Path, name: str) -> str:
        """What is wrong with a release that has something of its own where a link to ``shared/`` belongs."""
        why = f"expected nothing there, because it is kept in {self.shared / name} for all releases"
        if place.name.endswith(PARTIAL):
            return (
                f"the artifact holds {name}, which writable names; {why}. Leave it out of the artifact, or take it out of "
                "writable."
            )
        return (
            f"the release {place.name} has {name} of its own, from its artifact or made by its program, and writable names it; "
            f"{why}. Deploy another build without it, and move what is to stay into {self.shared / name}; or take it out of "
            "writable."
        )

    @staticmethod
    def _linked(link: Path) -> bool:
        return link.is_symlink() and os.readlink(link) == f"../../shared/{link.name}"

    def switch(self, target: str) -> None:
        """Let ``current`` point to a release, in one step."""
        fresh = self.root / "current.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"releases/{target}")
        os.replace(fresh, self.current)

    def mark(self, target: str, reason: str) -> None:
        """Mark a release as bad, or as good again with an empty reason."""
        path = self.releases / target / "REVISION"
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError):
            data = {"id": target}
        data.pop("bad", None)
        if reason:
            data["bad"] = {
                "reason": reason,
                "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            }
        _write_json(path, data)

    def delete(self, target: str) -> None:
        """Remove a release; it disappears from the listing first, so that an interruption leaves no half release."""
        gone = self.releases / (target + PARTIAL)
        shutil.rmtree(gone, ignore_errors=True)
        (self.releases / target).rename(gone)
        shutil.rmtree(gone)


def _write_json(path: Path, data: t.Mapping[str, t.Any]) -> None:
    """Replace a file in one step, keeping hard links of it apart."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
        json.dump(data, file, indent=2)
        file.write("\n")
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def unpack(artifact: str | Path, place: Path, kind: str = "npm") -> None:
    """Unpack a checked artifact, without owners and set-id bits.

    Files first and links last, so that nothing is written through a link.

    :raises ReleaseError: it cannot be read.
    """
    try:
        with tarfile.open(artifact, "r:*") as archive:
            members = archive.getmembers()
            check_members(members, kind)
            for member in members:
                path = place / member_path(member.name)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif not member.issym():
                    source = archive.extractfile(member)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    with path.open("xb") as file:
                        shutil.copyfileobj(t.cast("t.IO[bytes]", source), file)
                    path.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
            for member in members:
                if member.issym():
                    path = place / member_path(member.name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    path.symlink_to(member.linkname)
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise ReleaseError(f"the artifact {artifact} cannot be unpacked: {error}. Build it again.") from None
