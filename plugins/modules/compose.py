#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the services of one fragment of a Compose project running and healthy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose
short_description: Keep the services of one fragment of a Compose project running and healthy
version_added: 0.1.0
description:
  - A host has one Compose project, which consists of several Compose files, its fragments. Each role owns one.
  - Asks the engine once what runs, compares it and the files with what was recorded after the last success, and calls
    Compose only for services that differ.
  - A service whose container must change is recreated. A service whose mounted configuration changed is only restarted.
    Other services of the project are never touched.
  - First writes what the containers mount, O(directories) with O(secrets), so that a change there counts for
    O(config_files) in the same run. In check mode it does not yet.
  - In the end waits until the services are healthy. A failure names the container, its state, its exit code and the end of
    its log.
  - Keeps C(.env) in the project directory, so that C(docker compose) without any options works there for operators.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
  - durable.temporal.directories
attributes:
  idempotent:
    details: O(state=restarted) restarts every time.
    support: partial
requirements:
  - Docker engine 20.10 or newer with Compose v2
options:
  project_directory:
    description: The directory of the Compose project on the host.
    type: path
    required: true
  project_name:
    description: Name of the Compose project.
    type: str
    default: durable-temporal
  fragment:
    description:
      - Name of this fragment, a Compose file in O(project_directory).
      - V(postgres.yaml), V(temporal.yaml) and V(temporal-ui.yaml) are merged in this order, then all other C(*.yaml)
        and C(*.yml) files of the directory in alphabetical order.
    type: str
    required: true
  definition:
    description:
      - The text of the fragment. Without it the file must be there already.
      - It must not hold secrets, because it is shown in diffs.
    type: str
  services:
    description: The services of this fragment. A service that was listed in an earlier run and is not now is removed.
    type: list
    elements: str
    required: true
  env_files:
    description: Further files that define the containers, such as env files. Containers are recreated when they change.
    type: list
    elements: path
    default: []
  config_files:
    description: Mounted files that services read at start, so that a change needs a restart.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: File or directory on the host.
        type: path
        required: true
      services:
        description: The services to restart when its content changes.
        type: list
        elements: str
        required: true
  first_start:
    description:
      - A secret that only the first start needs, which makes data, such as the password that a database is initialised with.
      - It is written while there is neither the data nor its file, and the file is emptied when the services are healthy.
        From then on a container whose data is gone, such as a disk that is not mounted, has nothing to begin anew with.
      - When the data is gone, the module fails with O(first_start.explanation) and changes nothing.
    type: dict
    suboptions:
      file:
        description: File of the secret, in a directory of O(directories).
        type: path
        required: true
      secret:
        description: The secret.
        type: str
        required: true
      makes:
        description: A file that the first start makes.
        type: path
        required: true
      explanation:
        description: What to tell the operator when the data is gone.
        type: str
        required: true
  wait_seconds:
    description: How long to wait until all services are healthy. V(0) does not wait.
    type: int
    default: 90
  state:
    description:
      - V(present) keeps the services running.
      - V(restarted) does so, and restarts those that were running already.
      - V(absent) stops and removes the containers and the fragment. Data and mounted files stay.
    type: str
    choices: [present, restarted, absent]
    default: present
seealso:
  - module: community.docker.docker_compose_v2
"""

EXAMPLES = r"""
- name: Run the server
  durable.temporal.compose:
    project_directory: /opt/order-processing/temporal
    fragment: temporal.yaml
    definition: "{{ lookup('ansible.builtin.template', 'temporal.yaml.j2') }}"
    services: [temporal-server, temporal-admin-tools]
    config_files:
      - path: /opt/order-processing/temporal/config/temporal.yaml
        services: [temporal-server]
    directories:
      - path: /opt/order-processing/temporal/config
        create: true
        files:
          temporal.yaml: "{{ lookup('ansible.builtin.template', 'temporal-server.yaml.j2') }}"

- name: Remove the UI
  durable.temporal.compose:
    project_directory: /opt/order-processing/temporal
    fragment: temporal-ui.yaml
    services: [temporal-ui]
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be done, for which service and why. Empty when nothing differed.
  returned: success
  type: list
  elements: dict
  sample:
    - service: temporal-server
      action: restart
      why: [/opt/order-processing/temporal/config/temporal.yaml changed]
recreated:
  description: Services that have a new container.
  returned: success
  type: list
  elements: str
restarted:
  description: Services whose container was restarted.
  returned: success
  type: list
  elements: str
containers:
  description: The containers of the services at the end.
  returned: success
  type: list
  elements: dict
  sample:
    - service: temporal-server
      name: temporal-server
      state: running
      health: healthy
      image: temporalio/server:1.32.2
"""

import json
import os
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils import _directories, _registry
from ansible_collections.durable.temporal.plugins.module_utils._compose import (
    INSPECT_FORMAT,
    PS_FORMAT,
    Container,
    Progress,
    Record,
    Step,
    decide,
    digest,
    digest_text,
    env_text,
    explain,
    fragments_in,
    judge,
    ordered_fragments,
    parse_containers,
    taken_port,
    telling,
)
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan

STATE_FILE = ".durable-state.json"
LOG_LINES = "200"
POLL_SECONDS = 0.2


class Project:
    """The project on this host: its files, its containers, and the commands that change them."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.directory = Path(module.params["project_directory"])
        self.name: str = module.params["project_name"]
        self.fragment: str = module.params["fragment"]
        self.docker: str | None = module.get_bin_path("docker")

    # What is there ----------------------------------------------------------------------------------------------------

    def containers(self) -> dict[str, list[Container]]:
        """All containers of the project by service. Without an engine there are none, which only check mode accepts."""
        if self.docker is None:
            if self.module.check_mode or self.module.params["state"] == "absent":
                return {}
            self.module.fail_json(msg="The command docker was not found on this host. Run the docker role first.")
        label = f"label=com.docker.compose.project={self.name}"
        code, out, err = self.module.run_command(
            [self.docker, "ps", "--all", "--no-trunc", "--filter", label, "--format", PS_FORMAT]
        )
        if code != 0:
            if self.module.check_mode:
                self.module.warn(explain(err) + " Check mode goes on as if no container existed.")
                return {}
            self.module.fail_json(msg=explain(err))
        return parse_containers(out)

    def read_state(self) -> dict[str, t.Any]:
        """The state file, or an empty one when it is missing or unreadable: the price is one needless ``up``."""
        try:
            data = json.loads((self.directory / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            data = {}
        if not isinstance(data, dict) or not isinstance(data.get("fragments"), dict):
            data = {"fragments": {}}
        return data

    def read_text(self, name: str) -> str:
        try:
            return (self.directory / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def wanted_env(self) -> str:
        """The text of ``.env`` for the fragments that are there or about to be."""
        names = set(fragments_in(self.directory))
        if self.module.params["state"] == "absent":
            names.discard(self.fragment)
        else:
            names.add(self.fragment)
        wanted = {"COMPOSE_PROJECT_NAME": self.name, "COMPOSE_FILE": ":".join(ordered_fragments(names))}
        return env_text(self.read_text(".env"), wanted)

    # What changes it --------------------------------------------------------------------------------------------------

    def write(self, name: str, text: str, mode: int) -> None:
        """Replace a file of the project in one step; it belongs to the owner of the directory, who operates it."""
        owner = self.directory.stat()
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.directory)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), mode)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.directory / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """``docker ARGUMENTS`` in the project directory."""
        result: tuple[int, str, str] = self.module.run_command([self.docker, *arguments], cwd=str(self.directory))
        return result

    def up(self, services: t.Sequence[str]) -> tuple[int, str, str]:
        """Create or recreate the services, and no others."""
        files = [part for name in ordered_fragments(fragments_in(self.directory)) for part in ("-f", name)]
        return self.run(
            "compose", "--ansi", "never", "-p", self.name, *files, "up", "-d", "--no-deps", "--quiet-pull", *services
        )

    def fail_up(self, services: t.Sequence[str], out: str, err: str) -> t.NoReturn:
        """Say why ``up`` failed. Compose waits for what a service depends on, and does not say what ails it."""
        port = taken_port(err)
        if not port and "dependency failed to start" in err:
            found = self.containers()
            mine = [c for service in services for c in found.get(service, ()) if c.state != "created"]
            failed = [p for p in map(judge, self.inspect(mine) if mine else []) if p.verdict != "ready"]
            if failed:
                self.fail_container(failed[0], self.module.params["wait_seconds"])
        self.fail(explain(err, self.listener(port[1]) if port else ""), out, err)

    def listener(self, port: int) -> str:
        """``"nginx" (process 12)`` or what ``ss`` says about who listens on a port; empty when unknown."""
        tool = self.module.get_bin_path("ss")
        if tool is None:
            return ""
        _code, out, _err = self.module.run_command([tool, "-Hltnp", f"sport = :{port}"])
        _before, _found, users = out.partition("users:((")
        words = users.split(",")
        return f"{words[0]} ({words[1].replace('pid=', 'process ')})" if len(words) > 1 else ""

    def restart(self, containers: t.Sequence[Container]) -> None:
        code, out, err = self.run("restart", *(c.id for c in containers))
        if code != 0:
            self.fail(explain(err), out, err)

    def remove(self, containers: t.Sequence[Container]) -> None:
        """Stop with each container's own grace period, then remove, with its anonymous volumes."""
        names = [c.id for c in containers]
        for arguments in (("stop", *names), ("rm", "-v", *names)):
            code, out, err = self.run(*arguments)
            if code != 0:
                self.fail(explain(err), out, err)

    def inspect(self, containers: t.Sequence[Container]) -> list[dict[str, t.Any]]:
        code, out, err = self.run("inspect", "--format", INSPECT_FORMAT, *(c.id for c in containers))
        if code != 0:
            self.fail(explain(err), out, err)
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def wait(self, containers: t.Sequence[Container]) -> None:
        """Wait until all are ready; the first that cannot become ready, or the deadline, ends the run with its log."""
        seconds = self.module.params["wait_seconds"]
        if not containers or seconds == 0:
            return
        deadline = time.monotonic() + seconds
        crashes: dict[str, int] = {}
        while True:
            rows = self.inspect(containers)
            progress = [judge(row, crashes.setdefault(row["id"], int(row["restarts"]))) for row in rows]
            failed = [p for p in progress if p.verdict == "failed"]
            pending = [p for p in progress if p.verdict == "waiting"]
            if failed or (pending and time.monotonic() > deadline):
                self.fail_container((failed or pending)[0], seconds)
            if not pending:
                return
            time.sleep(POLL_SECONDS)

    def fail_container(self, progress: Progress, seconds: int) -> t.NoReturn:
        _code, out, err = self.run("logs", "--tail", LOG_LINES, progress.name)
        log = telling(out, err) or "(its log is empty)"
        probe = f"\nIts health check says: {progress.probe[-500:]}" if progress.probe else ""
        self.fail(
            f"{progress.name} is {progress.found}; expected running and healthy within {seconds} seconds.{probe}\n"
            f"What its log says last of an error:\n{log}\n"
            f"The rest: docker logs {progress.name}. Run again when the cause is removed; nothing else needs repair."
        )

    def fail(self, message: str, out: str = "", err: str = "") -> t.NoReturn:
        self.module.fail_json(msg=message, stdout=out, stderr=err)
        raise AssertionError  # fail_json does not return


def digests(params: t.Mapping[str, t.Any]) -> tuple[dict[str, str], dict[str, tuple[str, list[str]]]]:
    """Digests of the files that define containers, and of mounted files with the services that read them."""
    fragment = Path(params["project_directory"]) / params["fragment"]
    text = params["definition"]
    inputs = {str(fragment): digest(fragment) if text is None else digest_text(text)}
    inputs.update({path: digest(Path(path)) for path in params["env_files"]})
    config = {entry["path"]: (digest(Path(entry["path"])), list(entry["services"])) for entry in params["config_files"]}
    return inputs, config


def as_plan(steps: t.Iterable[Step]) -> Plan:
    """The steps as changes, for diff. Waiting changes nothing, so it is no change."""
    plan = Plan()
    for step in steps:
        if step.action != "wait":
            before: dict[str, t.Any] = {"state": step.before, "action": None, "why": []}
            plan.add(step.service, before, {**before, "action": step.action, "why": list(step.why)})
    return plan


def present(project: Project) -> dict[str, t.Any]:
    """Bring the services of the fragment to what they should be."""
    module, params = project.module, project.module.params
    state = project.read_state()
    record = Record.from_json(state["fragments"].get(project.fragment))
    inputs, config = digests(params)
    before = project.containers()
    steps = decide(params["services"], before, inputs, config, record, restart=params["state"] == "restarted")
    plan = as_plan(steps)

    diffs: list[dict[str, t.Any]] = []
    writes: list[tuple[str, str, int]] = []
    env = project.wanted_env()
    for name, text, mode in ((project.fragment, params["definition"], 0o644), (".env", env, 0o600)):
        old = project.read_text(name)
        if text is not None and old != text:
            writes.append((name, text, mode))
            path = str(project.directory / name)
            diffs.append({"before_header": path, "after_header": path, "before": old, "after": text})
    if plan:
        diffs.append(plan.as_diff())
    result: dict[str, t.Any] = {
        "changed": bool(plan or writes),
        "diff": diffs,
        "actions": [{"service": s.service, "action": s.action, "why": list(s.why)} for s in steps],
        "recreated": [],
        "restarted": [],
        "containers": describe(params["services"], before),
    }
    if module.check_mode:
        return result

    if params["definition"] is None and not (project.directory / project.fragment).is_file():
        project.fail(
            f"{project.directory / project.fragment} was not found; expected the Compose file with the services "
            f"{', '.join(params['services'])}. Write it first, or pass its text as definition."
        )
    project.directory.mkdir(parents=True, exist_ok=True)
    # Before anything is replaced, and again as soon as it is: what ran last is known also when it never becomes healthy,
    # so that the next run sees what differs, even when it wants what there was before.
    mounted = {path: now for path, (now, _readers) in config.items()}
    keep(project, state, record.without_changes(inputs, mounted))
    for name, text, mode in writes:
        project.write(name, text, mode)

    def remember(right: list[Container], stale: set[str]) -> None:
        read = {path: now for path, now in mounted.items() if not stale & set(config[path][1])}
        keep(project, state, Record(inputs, read, applied(right)))

    after = apply(project, steps, before, remember)
    if steps:
        project.wait([c for service in params["services"] for c in after.get(service, ())])
        after = project.containers()

    ids = {c.id for present_before in before.values() for c in present_before}
    result["recreated"] = [s for s in params["services"] if any(c.id not in ids for c in after.get(s, ()))]
    result["restarted"] = [s.service for s in steps if s.action == "restart" and s.service not in result["recreated"]]
    result["containers"] = describe(params["services"], after)
    return result


def keep(project: Project, state: dict[str, t.Any], record: Record) -> None:
    """Remember what is applied of the fragment, unless that is remembered already."""
    if state["fragments"].get(project.fragment) != record.as_json():
        state["fragments"][project.fragment] = record.as_json()
        project.write(STATE_FILE, json.dumps(state, indent=1, sort_keys=True) + "\n", 0o600)


def applied(containers: t.Iterable[Container]) -> dict[str, dict[str, str]]:
    """Containers as a record has them."""
    return {c.service: {"config_hash": c.config_hash, "image": c.image} for c in containers}


def apply(
    project: Project,
    steps: t.Sequence[Step],
    before: dict[str, list[Container]],
    remember: t.Callable[[list[Container], set[str]], None],
) -> dict[str, list[Container]]:
    """Carry out the steps; returns the containers that there are then.

    :param remember: is given the containers that are what is wanted and the services that are not, also when one fails.
    """
    services = project.module.params["services"]
    wanted: dict[str, list[str]] = {}
    for step in steps:
        wanted.setdefault(step.action, []).append(step.service)
    if "remove" in wanted:
        project.remove([c for service in wanted["remove"] for c in before[service]])
    if "restart" in wanted:
        project.restart([c for service in wanted["restart"] for c in before[service]])
    if "up" not in wanted:
        remember([c for service in services for c in before.get(service, ())], set())
        return before
    code, out, err = project.up(wanted["up"])
    after = project.containers()
    old = {c.id for containers in before.values() for c in containers}
    if code == 0:
        stale = [c for step in steps if step.reread for c in after.get(step.service, ()) if c.id in old]
        if stale:
            project.restart(stale)
    # Of what failed half-way, those are right that are new, and those that needed nothing.
    right = [c for s in services for c in after.get(s, ()) if code == 0 or c.id not in old or s not in wanted["up"]]
    remember(right, set(services) - {c.service for c in right})
    if code != 0:
        project.fail_up(wanted["up"], out, err)
    return after


def absent(project: Project) -> dict[str, t.Any]:
    """Remove the containers and the fragment."""
    services = project.module.params["services"]
    state = project.read_state()
    found = project.containers()
    going = [c for service in services for c in found.get(service, ())]
    plan = Plan()
    for container in going:
        plan.add(container.service, {"state": container.describe()}, None)
    diffs: list[dict[str, t.Any]] = [plan.as_diff()] if plan else []
    fragment = project.directory / project.fragment
    text = project.read_text(project.fragment)
    if fragment.exists():
        diffs.append({"before_header": str(fragment), "after_header": str(fragment), "before": text, "after": ""})
    known = project.fragment in state["fragments"]
    result: dict[str, t.Any] = {
        "changed": bool(diffs) or known,
        "diff": diffs,
        "actions": [{"service": c.service, "action": "remove", "why": ["it is to be absent"]} for c in going],
        "recreated": [],
        "restarted": [],
        "containers": [],
    }
    if project.module.check_mode or not result["changed"]:
        return result
    if going:
        project.remove(going)
    env = project.wanted_env()
    fragment.unlink(missing_ok=True)
    project.write(".env", env, 0o600)
    state["fragments"].pop(project.fragment, None)
    project.write(STATE_FILE, json.dumps(state, indent=1, sort_keys=True) + "\n", 0o600)
    return result


def describe(services: t.Sequence[str], containers: t.Mapping[str, t.Sequence[Container]]) -> list[dict[str, str]]:
    """Rows for the result."""
    return [
        {"service": c.service, "name": c.name, "state": c.state, "health": c.health, "image": c.image}
        for service in services
        for c in containers.get(service, ())
    ]


class FirstStart:
    """A secret that only the start which makes the data needs."""

    def __init__(self, given: t.Mapping[str, str]) -> None:
        self.file, self.makes = Path(given["file"]), Path(given["makes"])
        self.secret, self.explanation = given["secret"], given["explanation"]

    def refuse(self) -> None:
        """:raises Refused: the data was there once, and is not now."""
        if self.file.exists() and not self.file.stat().st_size and not self.makes.exists():
            raise _directories.Refused(self.explanation)

    def add_to(self, plan: Plan) -> None:
        """What is written before the services start: the secret, or nothing where data is already."""
        if not self.file.exists():
            content = "" if self.makes.exists() else f"{self.secret}\n"
            plan.add(str(self.file), None, {"type": "file", "mode": "0600", "content": content})

    def finish(self) -> None:
        """Empty the file, and remember which data is here, for preflight."""
        if not self.makes.exists():
            return
        if self.file.stat().st_size:
            os.truncate(self.file, 0)
        _registry.remember_data(str(self.makes), str(self.file))


def write_mounted(module: Module, first: FirstStart | None) -> Plan:
    """Write what the containers mount; what differed, without secrets.

    :raises Refused: something stands in the way.
    """
    if first:
        first.refuse()
    _declared, plan = _directories.compare(module.params)
    if first:
        first.add_to(plan)
    if not module.check_mode:
        _directories.write(plan)
    return _directories.without_secrets(plan, [*module.params["secrets"], *([str(first.file)] if first else [])])


def main() -> None:
    module = Module(
        argument_spec={
            "project_directory": {"type": "path", "required": True},
            "project_name": {"type": "str", "default": "durable-temporal"},
            "fragment": {"type": "str", "required": True},
            "definition": {"type": "str"},
            "services": {"type": "list", "elements": "str", "required": True},
            "env_files": {"type": "list", "elements": "path", "default": []},
            "config_files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "services": {"type": "list", "elements": "str", "required": True},
                },
            },
            "first_start": {
                "type": "dict",
                "options": {
                    "file": {"type": "path", "required": True},
                    "secret": {"type": "str", "required": True, "no_log": True},
                    "makes": {"type": "path", "required": True},
                    "explanation": {"type": "str", "required": True},
                },
            },
            "wait_seconds": {"type": "int", "default": 90},
            **_directories.OPTIONS,
            "state": {"type": "str", "choices": ["present", "restarted", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    project = Project(module)
    if module.params["state"] == "absent":
        module.exit_json(**absent(project))
    first = FirstStart(module.params["first_start"]) if module.params["first_start"] else None
    try:
        mounted = write_mounted(module, first)
    except (_directories.Refused, OSError) as error:
        module.fail_json(msg=str(error))
    result = present(project)
    if first and not module.check_mode:
        first.finish()
    diffs = [*([mounted.as_diff()] if mounted else []), *result["diff"]]
    module.exit_json(**{**result, "changed": bool(mounted) or result["changed"], "diff": diffs})


if __name__ == "__main__":
    main()
