#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs releases of applications, makes them live, takes them back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Install releases of applications and make them live
version_added: 0.1.0
description:
  - Keeps the releases of applications below C(releases/), each with its dependencies and a C(REVISION) file, and the
    link C(current) to the live one. What is installed already is found by the digest of its artifact, so deploying
    what is live changes nothing.
  - Artifacts are files of the controller, unless O(remote_src) is set. They are checked there (digest, contents) before
    anything is transferred, and only what is missing on the host is transferred.
  - Every change is a line of JSON in C(shared/deploys.log). Each application has a lock while something changes.
  - Dependencies are installed as the application's user, in the way that O(applications[].dependencies) names.
  - Certificates, proxies and npm's own settings are taken from O(environment), and from the task's own C(environment).
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  applications:
    description: The applications, in the order in which they are worked on.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      root:
        description: Directory that holds C(releases), C(shared) and C(current).
        type: path
        required: true
      user:
        description: User that owns the releases and runs npm. Needed to install.
        type: str
      group:
        description: Group of O(applications[].user). Its primary group when unset.
        type: str
      artifact:
        description:
          - The release as a C(.tar.gz). What it holds at its root depends on O(applications[].dependencies).
          - When unset, nothing is installed for this application.
        type: path
      dependencies:
        description:
          - V(npm) is for Node.js. The artifact has C(package.json) and C(package-lock.json); C(npm ci) installs from the
            lock file, without install scripts. A kept release with the same lock file and the same declared dependencies
            lends its C(node_modules) by hard links. What C(.npmrc) of the artifact reads must be in O(npm_environments).
          - V(wheels) is for Python. The artifact has C(requirements.lock), which names versions and digests, and all of
            these wheels in C(wheels/). Each release gets a virtual environment C(venv) of them; nothing is fetched.
          - V(none) is for what runs as it is.
        type: str
        choices: [npm, wheels, none]
        default: npm
      programs:
        description:
          - Process to the file of the release that it starts. An artifact without one of them is refused.
          - What the installation of dependencies makes, and what lies outside of the release, is not looked for.
        type: dict
        default: {}
      executed:
        description: >-
          Whether O(applications[].programs) are executed themselves, and not by an interpreter, so that the artifact must have
          them with mode C(0755).
        type: bool
        default: false
      install_scripts:
        description:
          - Packages whose install scripts are run after C(npm ci), by C(npm rebuild), as the application's user. They may need
            a compiler or another network.
          - When unset, none is run, and a package that needs one for its native code is an error before anything goes live.
            An empty list is for an application that does without.
        type: list
        elements: str
      writable:
        description:
          - Directories at the root of a release that are links to directories of that name in C(shared/), so that what is
            written there outlives the release. An artifact that holds one of them is refused.
        type: list
        elements: str
        default: []
      sha256:
        description: Digest that O(applications[].artifact) must have, in hexadecimal. Checked on controller and host.
        type: str
      release:
        description:
          - With O(state=live) and no artifact, the release to switch to. V(previous) is the one that was live before
            the live one and was not rejected. A release that was rejected is refused.
          - With O(state=present) and no artifact, the release that is looked for.
          - With O(state=rejected), the release to reject.
        type: str
      before:
        description:
          - With O(state=rejected), the release that is made live again when the rejected one is live, as
            RV(switched[].before) has it. After a rollback that is a newer one.
          - The one that was live before in the history when unset.
        type: str
      source:
        description: Where the artifact comes from, such as a commit or the address of a build. Only written down.
        type: str
      keep_releases:
        description: How many releases stay after a switch. The live one and the one before it always stay.
        type: int
        default: 5
      record:
        description:
          - File that the host has when it was prepared for the application. Without it, nothing is installed or made live, and
            a release that is to be gone back to only where one is live.
          - In check mode, a host that has no directory of such files only leads to a warning.
          - When unset, it is not looked for.
        type: path
  state:
    description:
      - V(present) installs the releases. Of those that are there before, as many go as there are beyond
        O(applications[].keep_releases) - rejected ones first, then those that were never live, such as builds that were
        refused beside the live one, and last those that were live the longest time ago.
      - V(live) installs them where they are missing, switches to them, and removes those beyond
        O(applications[].keep_releases) in the same order.
      - V(rejected) marks releases as bad. One that is live gives way to the one before it, if there is one. Deploying
        its artifact again takes the mark off; with O(keep_lock), that of a release that is still live is taken off by
        V(settled).
      - V(settled) ends what O(keep_lock) began - it writes into the log how the run has ended, and frees the lock. When
        there is no O(reason), the run has not failed, and what is live is no longer marked as bad.
    type: str
    choices: [present, live, rejected, settled]
    default: present
  bad:
    description: With O(state=rejected), whether the releases are marked as bad, so that no rollback comes to them.
    type: bool
    default: true
  keep_lock:
    description:
      - Whether the lock of each application is held when the module ends, for the further tasks of a deployment.
      - Another run is refused until this one has come to O(state=settled). When its controller is gone, the next run on
        that machine takes the lock over; so does any other 15 minutes after the last step.
    type: bool
    default: false
  lazy_lock:
    description:
      - With O(keep_lock), take no lock when there is nothing to do - the releases are live already, and no other run holds
        a lock or has left one. RV(needed) tells.
    type: bool
    default: false
  take_over:
    description: Take over a lock that a run elsewhere has left. Only when that run is known to be gone.
    type: bool
    default: false
  environment:
    description:
      - Variables for npm, as JSON. Those that name certificates and proxies and npm's own settings are passed on.
      - Unlike the task's C(environment), it is not seen in a command line, so it may hold secrets.
    type: json
    default: "{}"
  npm_environments:
    description:
      - Application to variables for npm that are its own, as JSON, such as the token that C(.npmrc) of its artifact reads.
      - They are seen by npm and by the install scripts that are run, and nowhere else.
    type: json
    default: "{}"
  run:
    description:
      - The run of the playbook that holds locks, with C(id), C(machine) and C(pid) of its controller, and C(at), the time
        that is a part of the names of new releases, in seconds since the epoch.
      - The controller's side of this module fills it in.
    type: dict
  remote_src:
    description: Whether artifacts are files of the managed host already.
    type: bool
    default: false
  by:
    description: Who deploys, for the log and for those who meet the lock. User and host of the controller when unset.
    type: str
  reason:
    description: Why, for the log. With O(state=rejected) it is kept with the release.
    type: str
    default: ""
  npm:
    description: The npm program.
    type: str
    default: npm
"""

EXAMPLES = r"""
- name: Make a build live
  durable.temporal.release:
    state: live
    applications:
      - name: order-processing
        root: /opt/order-processing/workflow
        user: workflow
        artifact: build/order-processing.tar.gz
        sha256: "{{ build_digest }}"

- name: Go back to the release before
  durable.temporal.release:
    state: live
    reason: Orders of tenant 7 fail
    applications:
      - name: order-processing
        root: /opt/order-processing/workflow
        release: previous
"""

RETURN = r"""
applications:
  description: One row an application, in the order of O(applications).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the application.
      type: str
    root:
      description: Its directory.
      type: str
    release:
      description: The release that was installed, made live or found. Its id begins with the time, also in check mode.
      type: str
    live:
      description: The release that is live afterwards; empty when there is none.
      type: str
    before:
      description: The release that was live before; empty when there was none.
      type: str
    switched:
      description: Whether another release is live than before.
      type: bool
    previous:
      description: The release that going back would make live; empty when there is none.
      type: str
    releases:
      description: All kept releases, oldest first.
      type: list
      elements: str
    outcome:
      description: Two lines for the operator, with what is live, what was live before, and how to go back.
      type: str
needed:
  description:
    - Whether a release has to be installed or made live, is live and was rejected, or a lock was met, so that a run has work
      to do or to finish.
  returned: always
  type: bool
live:
  description: Application to live release.
  returned: always
  type: dict
switched:
  description: Those of which another release is live than before, in the form that O(state=rejected) takes.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the application.
      type: str
    root:
      description: Its directory.
      type: str
    release:
      description: The release that is live now.
      type: str
    before:
      description: The release that was live before; empty when there was none.
      type: str
reason:
  description: O(reason), for the tasks of a deployment that come after it.
  returned: always
  type: str
lock:
  description: Who holds the lock that was refused.
  returned: when another run holds it
  type: dict
missing_artifacts:
  description: Applications that were given by digest only, and whose artifact is not on the host.
  returned: always
  type: list
  elements: str
warnings:
  description: Locks of runs that are gone and were taken over.
  returned: when there are any
  type: list
  elements: str
"""

import contextlib
import datetime
import getpass
import json
import os
import socket
import time
import typing as t
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._dependencies import Nothing, Npm, Wheels
from ansible_collections.durable.temporal.plugins.module_utils._lock import ANY, HeldError, Lock, Run
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import compare
from ansible_collections.durable.temporal.plugins.module_utils._release import (
    ID,
    LOCK,
    NEEDED,
    Dependencies,
    Release,
    ReleaseError,
    State,
    Store,
    after_install,
    after_prune,
    after_switch,
    check_archive,
    check_digest,
    file_digest,
    outcome,
    reject,
    release_id,
)
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account, give_way, passed_on

APPLICATION: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "root": {"type": "path", "required": True},
    "user": {"type": "str"},
    "group": {"type": "str"},
    "artifact": {"type": "path"},
    "dependencies": {"type": "str", "choices": list(NEEDED), "default": "npm"},
    "programs": {"type": "dict", "default": {}},
    "executed": {"type": "bool", "default": False},
    "install_scripts": {"type": "list", "elements": "str"},
    "writable": {"type": "list", "elements": "str", "default": []},
    "sha256": {"type": "str"},
    "release": {"type": "str"},
    "before": {"type": "str"},
    "source": {"type": "str"},
    "keep_releases": {"type": "int", "default": 5},
    "record": {"type": "path"},
}


@dataclass
class Step:
    """What one application needs: the state that it has, the one that it is to have, and how to get there."""

    wanted: dict[str, t.Any]
    store: Store
    before: State
    after: State
    install: Release | None = None
    release: str = ""
    back: bool = False
    missing: bool = False
    done: bool = False
    predicted: bool = False
    # Directories that a release which is there already has no link to.
    unlinked: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.before.as_item() != self.after.as_item() or bool(self.unlinked)

    def items(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """What is compared, as it is and as it is to be."""
        before, after = self.before.as_item(), self.after.as_item()
        return before, {**after, "writable": list(self.unlinked)} if self.unlinked else after

    @property
    def doubted(self) -> bool:
        """Whether the wanted release is live already, and was rejected: there was none before it to go back to."""
        live = self.before.find(self.before.live)
        return bool(live and live.bad and live.id == self.release)

    def result(self) -> dict[str, t.Any]:
        return {
            "name": self.wanted["name"],
            "root": self.wanted["root"],
            "release": self.release,
            "live": self.after.live,
            "before": self.before.live,
            "switched": self.after.live != self.before.live,
            "previous": self.after.previous(),
            "releases": [r.id for r in self.after.releases],
            "outcome": outcome(self.wanted["name"], self.before, self.after, self.predicted),
        }


class NoWayBackError(ReleaseError):
    """An application has no earlier release."""


def ways_back(applications: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """What to do when one of some applications has no earlier release: which of them can go back, and how."""
    if len(applications) == 1:
        return "Deploy the artifact of an earlier build."
    able = [wanted["name"] for wanted in applications if Store(wanted["root"]).read().previous()]
    if not able:
        return (
            "Nothing was switched. No other application of this call can go back. Deploy artifacts of earlier builds."
        )
    which = able[0] if len(able) == 1 else f"Each of {', '.join(able)}"
    command = f"ansible-playbook -i INVENTORY rollback.yml -e rollback_application={able[0]}"
    return f"Nothing was switched. {which} can go back: {command}."


def chosen(state: State, name: str, wanted: str) -> str:
    """The id that ``release`` means.

    :raises ReleaseError: there is no such release, or it was rejected; lists those that are kept.
    """
    kept = (
        ", ".join(r.id + (" (live)" if r.id == state.live else " (bad)" if r.bad else "") for r in state.releases)
        or "none"
    )
    if wanted == "previous":
        if not (previous := state.previous()):
            raise NoWayBackError(f"there is no earlier release of {name} to go back to. Kept: {kept}.")
        return previous
    # A host that was added later has the same build under another time.
    same = [r.id for r in state.releases if r.id.rpartition("-")[2] == wanted.rpartition("-")[2]]
    if ID.fullmatch(wanted) and state.find(wanted) is None and "-" in wanted and len(same) == 1:
        return same[0]
    if not ID.fullmatch(wanted) or state.find(wanted) is None:
        raise ReleaseError(
            f"release {wanted} of {name} is not on this host. Kept: {kept}. "
            "Choose one of these, or deploy its artifact."
        )
    return wanted


def accepted(state: State, name: str, wanted: str) -> str:
    """The id that ``release`` means, which is to be live.

    :raises ReleaseError: it cannot or must not be.
    """
    found = state.find(chosen(state, name, wanted))
    if found and found.bad:
        raise ReleaseError(
            f"release {found.id} of {name} was rejected ({found.bad}). Choose another one, or deploy its artifact again."
        )
    return found.id if found else ""


def look(
    wanted: dict[str, t.Any],
    target: str,
    reason: str,
    now: datetime.datetime,
    going_to: str = "",
    watched: bool = False,
) -> Step:
    """Compare an application with what is wanted of it. Reads only.

    :param target: ``present``, ``live`` or ``rejected``.
    :param reason: why releases are rejected; empty when they are not to be marked as bad.
    :param going_to: the release that this run, or an interrupted one that it finishes, goes back to.
    :param watched: whether the run goes on with looking whether what is live works. Then its end takes the mark off.
    """
    store = Store(wanted["root"])
    before = store.read()
    step = Step(wanted, store, before, replace(before, partial=()))
    if target == "rejected":
        step.release = chosen(before, wanted["name"], wanted["release"] or "")
        step.after = reject(step.after, step.release, reason, wanted["before"] or "")
        step.back = step.after.live in before.history
        return step
    # Where the artifact has not been transferred, the controller's digest says what it is.
    digest = file_digest(wanted["artifact"]) if wanted["artifact"] else (wanted["sha256"] or "").lower()
    if wanted["artifact"]:
        check_digest(wanted["artifact"], digest, wanted["sha256"] or "")
    if digest:
        found = before.by_digest(digest)
        if found is None:
            if wanted["artifact"]:
                check_archive(wanted["artifact"], wanted["dependencies"], wanted["programs"], wanted["executed"])
            step.missing = not wanted["artifact"]
            found = step.install = Release(release_id(now, digest), digest)
            # Refused and interrupted deployments leave releases, and no switch comes to prune them.
            step.after = after_install(after_prune(step.after, wanted["keep_releases"]), found)
        step.release = found.id
    elif wanted["release"]:
        finished = wanted["release"] == "previous" and before.live and before.live == going_to
        step.release = before.live if finished else accepted(before, wanted["name"], wanted["release"])
        step.back = step.release in before.history
    if step.release and step.install is None and not step.missing:
        # A release to go back to may be older than the declaration, and have a directory of its own there, which stays.
        step.unlinked = tuple(store.unlinked(step.release, wanted["writable"], kept=bool(wanted["release"])))
    if target == "live" and step.release:
        switched = step.after if watched and step.doubted else after_switch(step.after, step.release, step.back)
        step.after = after_prune(switched, wanted["keep_releases"])
    return step


def act(step: Step, target: str, by: str, reason: str, installer: Dependencies) -> None:
    """Do what a step says. The caller holds the lock."""
    wanted, store, name = step.wanted, step.store, step.wanted["name"]
    note = {"application": name, "by": by, **({"reason": reason} if reason else {})}
    store.clean(step.before.partial)
    if step.install is not None:
        account = Account.find(wanted["user"], wanted["group"] or "")
        revision = {
            "application": name,
            "installed_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "installed_by": by,
            "source": wanted["source"] or "",
        }
        store.install(step.install, wanted["artifact"], account, revision, installer, wanted["writable"])
        store.append(
            action="install", release=step.install.id, digest=step.install.digest, source=wanted["source"] or "", **note
        )
    if step.unlinked:
        place = store.releases / step.release
        store.link(place, step.unlinked, Account.find(wanted["user"], wanted["group"] or ""))
        store.append(action="link", release=step.release, writable=list(step.unlinked), **note)
    for release in step.after.releases:
        earlier = step.before.find(release.id)
        if earlier is not None and earlier.bad != release.bad:
            store.mark(release.id, release.bad)
            store.append(action="reject" if release.bad else "accept", release=release.id, **note)
    if step.after.live != step.before.live:
        store.switch(step.after.live)
        action = "back" if step.back else "live"
        store.append(action=action, release=step.after.live, before=step.before.live, **note)
    for gone in [r.id for r in step.before.releases if step.after.find(r.id) is None]:
        store.delete(gone)
        store.append(action="delete", release=gone, **note)


def owner(wanted: dict[str, t.Any]) -> Account:
    """:raises ReleaseError: the user of the application is missing on the host."""
    if not wanted["user"]:
        raise ReleaseError(f"application {wanted['name']} has no user; name the user that owns its releases.")
    try:
        return Account.find(wanted["user"], wanted["group"] or "")
    except KeyError as error:
        raise ReleaseError(f"{error.args[0]}. Run site.yml first; it makes the users of the applications.") from None


def prepared(record: Path) -> bool:
    """Whether a host was prepared for an application, and that was not taken back by its removal."""
    try:
        entry = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(entry, dict) and not entry.get("removed")


class Work:
    """All applications of one call: locked, compared, brought to the wanted state.

    :param run: the run of a playbook that this call is a part of.
    """

    def __init__(self, module: Module, run: Run) -> None:
        self.module = module
        self.run = run
        self.state: str = module.params["state"]
        # The reason is one line: the whole story is in the output of the run.
        self.reason: str = module.params["reason"].partition("\n")[0]
        self.environment = passed_on({**os.environ, **json.loads(module.params["environment"])})
        self.own: dict[str, dict[str, str]] = json.loads(module.params["npm_environments"])
        self.locks: list[Lock] = []
        self.steps: list[Step] = []
        # What is live in the end, where nothing was compared.
        self.live: dict[str, str] = {}
        # The application that is worked on, for messages.
        self.name, self.root = "", Path("/")

    def do(self) -> None:
        """:raises ReleaseError: why it cannot be done.
        :raises HeldError: another run is at work.
        """
        keep = self.module.params["keep_lock"] and not self.module.check_mode
        if keep and self.module.params["lazy_lock"]:
            self._look()
            keep = self.needed()
        if keep:
            self._lock()
        self._look()
        if missing := [s.wanted["name"] for s in self.steps if s.missing]:
            # Nothing is done until everything is here: the controller transfers what is missing and calls again.
            if self.module.params["remote_src"]:
                self.name = missing[0]
                raise ReleaseError("no kept release has this digest, and no artifact is given to install it from.")
            return
        if self.module.check_mode or not any(s.changed for s in self.steps):
            return
        if not keep:
            self._lock()
            # Another run may have finished between the first look and the lock.
            self._look()
        for step in self.steps:
            self._act(step)

    def needed(self) -> bool:
        """Whether something is to be installed, made live or proven, or a run is at work or was interrupted."""
        return any(
            step.changed
            or step.doubted
            or step.missing
            or step.release not in ("", step.before.live)
            or (step.store.root / LOCK).exists()
            for step in self.steps
        )

    def _installer(self, wanted: t.Mapping[str, t.Any]) -> Dependencies:
        """How the dependencies of an application are installed."""
        scripts = wanted["install_scripts"]
        own = self.own.get(wanted["name"], {})
        named = None if scripts is None else tuple(scripts)
        npm = Npm(self.module.params["npm"], self.environment, own, named, self._warn(wanted["name"]))
        kinds: dict[str, Dependencies] = {"npm": npm, "wheels": Wheels(), "none": Nothing()}
        return kinds[wanted["dependencies"]]

    def _warn(self, name: str) -> t.Callable[[str], object]:
        return lambda text: self.module.warn(f"{name}: {text}")

    def _on(self, wanted: t.Mapping[str, t.Any]) -> None:
        self.name, self.root = wanted["name"], Path(wanted["root"])

    def _look(self) -> None:
        at = float((self.module.params["run"] or {}).get("at") or time.time())
        now = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
        self.steps = []
        for number, wanted in enumerate(self.module.params["applications"]):
            self._on(wanted)
            lock = self.locks[number] if self.locks else None
            mark = (self.reason or "rejected") if self.module.params["bad"] else ""
            # The lock that this run has, or that an interrupted one has left, says where it was going.
            holder = Store(wanted["root"]).lock(self.run).read()
            try:
                target = holder.target if holder else ""
                step = look(wanted, self.state, mark, now, target, watched=self.module.params["keep_lock"])
            except NoWayBackError as error:
                raise ReleaseError(f"{error} {ways_back(self.module.params['applications'])}") from None
            self._find_record(step)
            if step.missing or step.install is not None or step.unlinked:
                self._find_owner(wanted)
            self.steps.append(replace(step, predicted=self.module.check_mode))
            if lock and wanted["release"]:
                lock.aim(self.steps[-1].release)

    def _find_record(self, step: Step) -> None:
        """:raises ReleaseError: the host was not prepared for what is to be installed or made live."""
        wanted, back = step.wanted, step.wanted["release"] and step.before.live
        record = Path(wanted["record"] or "/")
        if self.state == "rejected" or not wanted["record"] or not step.release or back or prepared(record):
            return
        text = f"{wanted['name']} was not prepared on {socket.gethostname()}: {record} does not say so."
        text = f"{text} Run site.yml first; it prepares it."
        if not self.module.check_mode or record.parent.is_dir():
            raise ReleaseError(f"{text} Nothing was changed.")
        # A site.yml before this one has prepared nothing either.
        self.module.warn(f"{wanted['name']}: {text} Without --check, this is an error.")

    def _find_owner(self, wanted: dict[str, t.Any]) -> None:
        try:
            owner(wanted)
        except ReleaseError as error:
            if not self.module.check_mode:
                raise
            # A site.yml before this one has made no user either.
            self.module.warn(f"{wanted['name']}: {error} Without --check, this is an error.")

    def _act(self, step: Step) -> None:
        self._on(step.wanted)
        if step.changed:
            if step.install is not None:
                step.store.prepare(owner(step.wanted))
            act(step, self.state, self.run.by, self.reason, self._installer(step.wanted))
            step.after = step.store.read()
        step.done = True

    def _lock(self) -> None:
        """Take the locks of all applications, or of none."""
        take_over = (
            ANY if self.module.params["take_over"] else str((self.module.params["run"] or {}).get("take_over", ""))
        )
        for wanted in self.module.params["applications"]:
            self._on(wanted)
            lock = Store(wanted["root"]).lock(self.run, take_over)
            lock.take(self.state)
            self.locks.append(lock)

    def unlock(self) -> None:
        """Let go of the locks; keep them for the next task of the run when that was asked for."""
        for lock in self.locks:
            if self.module.params["keep_lock"]:
                lock.rest(self.state)
            else:
                lock.free()

    def settle(self) -> None:
        """Write down how the run has ended, and free its locks. What is live after a run that has not failed works."""
        for wanted in self.module.params["applications"]:
            self._on(wanted)
            store, live = Store(wanted["root"]), None
            with contextlib.suppress(ReleaseError):  # which has been told, and must not keep the lock
                found = store.read()
                self.live[wanted["name"]], live = found.live, found.find(found.live)
            lock = store.lock(self.run)
            holder = lock.read()
            if self.module.check_mode or holder is None or holder.run != self.run.id:
                continue
            if live and live.bad and not self.reason:
                store.mark(live.id, "")
                store.append(action="accept", application=wanted["name"], release=live.id, by=self.run.by)
            lock.free()
            since = datetime.datetime.fromtimestamp(int(holder.since), datetime.timezone.utc).isoformat()
            if any(str(entry.get("at", "")) >= since for entry in store.entries()):
                store.append(
                    action="done",
                    application=wanted["name"],
                    release=self.live.get(wanted["name"], ""),
                    by=self.run.by,
                    result=self.reason or "ok",
                    seconds=round(time.time() - holder.since),
                )


def main() -> None:
    module = Module(
        argument_spec={
            "applications": {"type": "list", "elements": "dict", "required": True, "options": APPLICATION},
            "state": {"type": "str", "choices": ["present", "live", "rejected", "settled"], "default": "present"},
            "remote_src": {"type": "bool", "default": False},
            "by": {"type": "str"},
            "reason": {"type": "str", "default": ""},
            "npm": {"type": "str", "default": "npm"},
            "keep_lock": {"type": "bool", "default": False},
            "lazy_lock": {"type": "bool", "default": False},
            "take_over": {"type": "bool", "default": False},
            "bad": {"type": "bool", "default": True},
            "environment": {"type": "json", "default": "{}", "no_log": True},
            "npm_environments": {"type": "json", "default": "{}", "no_log": True},
            "run": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    host = socket.gethostname()
    by = module.params["by"] or f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{host}"
    run = module.params["run"] or {}
    work = Work(module, Run(by, str(run.get("id", "")), str(run.get("machine", "")), int(run.get("pid") or 0)))
    failure: dict[str, t.Any] = {}
    if module.params["state"] == "present":
        give_way()
    try:
        if module.params["state"] == "settled":
            work.settle()
        else:
            work.do()
    except ReleaseError as error:
        failure = {"msg": f"{host}: {work.name}: {error}"}
    except HeldError as error:
        failure = {"msg": f"{host}: {work.name}: {error}", "lock": asdict(error.holder)}
    except OSError as error:
        failure = {"msg": f"{host}: {work.name}: {ReleaseError.unwritable(work.root, error)}"}
    finally:
        needed = not failure and work.needed()
        work.unlock()
    if failure:
        module.fail_json(**failure, **result([s for s in work.steps if s.done], work.reason))
    for lock in work.locks:
        for warning in lock.warnings:
            module.warn(warning)
    found = result(work.steps, module.params["reason"])
    module.exit_json(**{**found, "needed": needed, "live": {**work.live, **found["live"]}})


def result(steps: list[Step], reason: str) -> dict[str, t.Any]:
    """What the module reports, also of the applications before one that failed."""
    plan = compare(
        wanted={s.wanted["name"]: s.items()[1] for s in steps},
        present={s.wanted["name"]: s.items()[0] for s in steps},
    )
    return {
        "changed": bool(plan),
        "diff": plan.as_diff(),
        "applications": [s.result() for s in steps],
        "live": {s.wanted["name"]: s.after.live for s in steps},
        "switched": [
            {"name": s.wanted["name"], "root": s.wanted["root"], "release": s.after.live, "before": s.before.live}
            for s in steps
            if s.after.live != s.before.live
        ],
        "reason": reason,
        "missing_artifacts": [s.wanted["name"] for s in steps if s.missing],
    }


if __name__ == "__main__":
    main()
