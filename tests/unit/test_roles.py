# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role of the collection keeps to, read from its files."""

from __future__ import annotations

import re
import typing as t
from functools import cache
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(p.name for p in ROLES.iterdir() if (p / "tasks").is_dir() or (p / "defaults").is_dir())
WIRING = "topology"
TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "dict": dict,
    "float": (int, float),
    "int": int,
    "list": list,
    "path": str,
    "str": (str, int, float),
}
COMMANDS = {f"ansible.builtin.{name}" for name in ("command", "shell", "raw", "script", "expect")}
INJECTED = re.compile(
    r"(?<![\w.'\[])ansible_(distribution\w*|os_family|hostname|fqdn|architecture|default_ipv4|all_ipv4_addresses|"
    r"processor\w*|memtotal_mb|memory_mb|kernel|system|service_mgr|pkg_mgr|python_version|date_time|env|mounts|user_id)\b(?!\*)"
)


@cache
def load(path: Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def files(role: str, *parts: str) -> list[Path]:
    return [p for part in parts for p in sorted((ROLES / role / part).rglob("*")) if p.is_file()]


def options(role: str) -> dict[str, dict[str, t.Any]]:
    """Options of all entry points of a role."""
    entries = (load(ROLES / role / "meta" / "argument_specs.yml") or {}).get("argument_specs", {})
    return {name: option for entry in entries.values() for name, option in (entry.get("options") or {}).items()}


def tasks(role: str, *parts: str) -> list[dict[str, t.Any]]:
    """Every task of a role, those in blocks included."""

    def walk(found: list[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
        for task in found:
            yield task
            for section in ("block", "rescue", "always"):
                yield from walk(task.get(section) or [])

    return [task for path in files(role, *(parts or ("tasks", "handlers"))) for task in walk(load(path) or [])]


def test_there_are_roles() -> None:
    assert NAMES


@pytest.mark.parametrize("role", NAMES)
def test_the_specification_and_the_defaults_have_the_same_options(role: str) -> None:
    defaults = load(ROLES / role / "defaults" / "main.yml") or {}
    required = {name for name, option in options(role).items() if option.get("required")}
    # What is left out of the wiring says something too: a host without an address of its own has that of its inventory.
    optional = {name for name, option in options(role).items() if "default" not in option} if role == WIRING else set()
    assert set(options(role)) - required - optional - set(defaults) == set(), "specified, without a default"
    # Values that the wiring derives from others are no options.
    derived = {name for name, value in defaults.items() if "{{" in str(value)} if role == WIRING else set()
    assert set(defaults) - set(options(role)) - derived == set(), "has a default, and is not specified"
    assert required & set(defaults) == set(), "required, and yet has a default"


@pytest.mark.parametrize("role", NAMES)
def test_the_specification_states_the_default(role: str) -> None:
    defaults = load(ROLES / role / "defaults" / "main.yml") or {}
    specified = options(role)
    differing = {
        name: (value, specified[name].get("default", "no default"))
        for name, value in defaults.items()
        # A null default is best left out of a specification: it says nothing.
        if name in specified and specified[name].get("default", None if value is None else "no default") != value
        if not (may_hold_a_secret(specified[name]) and "{{" in str(value))
    }
    assert differing == {}, "option: (in defaults, in the specification)"


def may_hold_a_secret(option: dict[str, t.Any]) -> bool:
    return bool(option.get("no_log")) or any(may_hold_a_secret(each) for each in (option.get("options") or {}).values())


@pytest.mark.parametrize("role", NAMES)
def test_no_specification_renders_a_secret(role: str) -> None:
    # When a value does not fit, Ansible shows the whole specification, its defaults rendered.
    shown = {
        name
        for name, option in options(role).items()
        if "{{" in str(option.get("default", ""))
        if may_hold_a_secret(option)
        or re.search(r"password\b|secret|_connection\b|topology_database\b", str(option["default"]))
    }
    assert shown == set()


@pytest.mark.parametrize("role", NAMES)
def test_defaults_have_the_type_of_their_option(role: str) -> None:
    defaults = load(ROLES / role / "defaults" / "main.yml") or {}
    wrong = {
        name: (value, option.get("type", "str"))
        for name, option in options(role).items()
        if (value := defaults.get(name)) is not None
        and not (isinstance(value, str) and "{{" in value)
        and option.get("type", "str") in TYPES
        and not (isinstance(value, TYPES[option.get("type", "str")]) and _same_kind(value, option.get("type", "str")))
    }
    assert wrong == {}


def _same_kind(value: t.Any, kind: str) -> bool:
    # In Python true is a number, and a version such as 1.10 that YAML made a number of has lost its zero.
    return isinstance(value, bool) == (kind == "bool") and not (kind == "str" and isinstance(value, float))


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_described_and_typed(role: str) -> None:
    def walk(found: dict[str, t.Any], path: str) -> t.Iterator[str]:
        for name, option in found.items():
            if not option.get("description") or not option.get("type"):
                yield f"{path}{name}"
            if option.get("type") == "list" and not option.get("elements"):
                yield f"{path}{name}: elements"
            yield from walk(option.get("options") or {}, f"{path}{name}.")

    assert list(walk(options(role), "")) == []


@pytest.mark.parametrize("role", NAMES)
def test_options_carry_the_name_of_their_role(role: str) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", NAMES)
def test_passwords_are_marked(role: str) -> None:
    def walk(found: dict[str, t.Any]) -> t.Iterator[str]:
        for name, option in found.items():
            if re.search(r"(password|secret|api_key|token)$", name) and not option.get("no_log"):
                yield name
            yield from walk(option.get("options") or {})

    assert list(walk(options(role))) == []


@pytest.mark.parametrize("role", NAMES)
def test_a_role_says_what_it_is(role: str) -> None:
    info = load(ROLES / role / "meta" / "main.yml")["galaxy_info"]
    assert len(info["description"].split()) > 3
    assert info["license"] == "GPL-3.0-or-later"
    assert info["min_ansible_version"] == "2.19"
    assert {p["name"] for p in info["platforms"]} == {"Debian", "Ubuntu"}


@pytest.mark.parametrize("role", NAMES)
def test_task_files_are_short(role: str) -> None:
    long = {p.name: n for p in files(role, "tasks") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 75}
    assert long == {}


@pytest.mark.parametrize("role", [name for name in NAMES if name != WIRING])
def test_only_the_wiring_knows_groups_and_other_hosts(role: str) -> None:
    found = [
        f"{path.relative_to(ROLES)}: {line.strip()}"
        for path in files(role, "defaults", "vars", "tasks", "handlers", "templates")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bhostvars\b|\bgroup_names\b|\bgroups\s*[\[.|]", line) and not line.lstrip().startswith("#")
    ]
    assert found == []


@pytest.mark.parametrize("role", [name for name in NAMES if name != WIRING])
def test_a_role_runs_without_the_wiring(role: str) -> None:
    found = [
        f"{path.relative_to(ROLES)}: {line.strip()}"
        for path in files(role, "defaults", "vars", "tasks", "handlers", "templates", "meta")
        for line in path.read_text(encoding="utf-8").splitlines()
        for name in re.findall(rf"\b{WIRING}_\w+", line if "{{" in line or "{%" in line else "")
        if not re.search(rf"\b{name} (\| default\(|is defined)", line)
    ]
    assert found == []


@pytest.mark.parametrize("role", [name for name in NAMES if name != WIRING])
def test_a_role_reads_no_options_of_another(role: str) -> None:
    others = [o for name in NAMES if name not in (role, WIRING) for o in options(name)]
    if not others:
        return
    # Options of a role whose name another one's begins with (temporal, temporal_ui) are matched whole.
    pattern = re.compile(rf"(?<![\w.'\"/-])({'|'.join(map(re.escape, sorted(others, key=len, reverse=True)))})(?!\w)")
    found = [
        f"{path.relative_to(ROLES)}: {match[1]}"
        for path in files(role, "defaults", "vars", "tasks", "handlers", "templates")
        for line in path.read_text(encoding="utf-8").splitlines()
        for expression in re.findall(r"\{\{.*?\}\}|\{%.*?%\}|(?:when|that|loop|until):.*", line)
        for match in pattern.finditer(expression)
    ]
    assert found == []


@pytest.mark.parametrize("role", NAMES)
def test_facts_are_read_by_their_full_name(role: str) -> None:
    found = [
        f"{path.relative_to(ROLES)}: {match[0]}"
        for path in files(role, "defaults", "vars", "tasks", "handlers", "templates")
        for match in INJECTED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("role", NAMES)
def test_errors_are_not_ignored(role: str) -> None:
    assert [task.get("name") for task in tasks(role) if task.get("ignore_errors")] == []


@pytest.mark.parametrize("role", NAMES)
def test_commands_are_the_exception(role: str) -> None:
    assert len([task["name"] for task in tasks(role) if COMMANDS & set(task)]) <= 1


@pytest.mark.parametrize("role", NAMES)
def test_handlers_carry_the_name_of_their_role(role: str) -> None:
    assert [t["name"] for t in tasks(role, "handlers") if not t["name"].lower().startswith(f"{role} | ")] == []


def test_the_engine_is_restarted_only_with_settings_that_it_takes() -> None:
    configure = [
        task["durable.temporal.directory_contents"] for task in tasks("docker") if "apply_command" in str(task)
    ]
    assert [(call["apply_command"], call["test_command"]) for call in configure] == [
        (
            ["systemctl", "restart", "docker"],
            ["dockerd", "--validate", "--config-file", "/etc/docker/daemon.json"],
        )
    ]


@pytest.mark.parametrize("role", NAMES)
def test_every_handler_is_notified_and_every_notification_is_heard(role: str) -> None:
    heard = {name for task in tasks(role, "handlers") for name in [task["name"], *_list(task.get("listen"))]}
    sent = {name for task in tasks(role) for name in _list(task.get("notify"))}
    assert sent - heard == set()
    unused = [task["name"] for task in tasks(role, "handlers") if not {task["name"], *_list(task.get("listen"))} & sent]
    assert unused == []


@pytest.mark.parametrize("role", NAMES)
def test_registered_names_are_the_roles_own(role: str) -> None:
    names = {name for task in tasks(role) for name in _list(task.get("register"))}
    assert {name for name in names if not name.startswith(f"__{role}_")} == set()


@pytest.mark.parametrize("role", [name for name in NAMES if (ROLES / name / "tasks" / "main.yml").exists()])
def test_a_role_reads_nothing_that_only_another_entry_point_registers(role: str) -> None:
    """It runs alone, by its ``main``; what others may have registered has a value of its own there."""
    main = ROLES / role / "tasks" / "main.yml"
    closure: set[Path] = set()
    todo = [main]
    while todo:
        path = todo.pop()
        closure.add(path)
        names = re.findall(r"(?:import|include)_tasks: ([\w.]+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        todo += [main.parent / name for name in names if main.parent / name not in closure]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*sorted(closure), *files(role, "vars")])
    everywhere = {name for task in tasks(role) for name in _list(task.get("register"))}
    elsewhere = everywhere - set(re.findall(r"register: (\w+)", text))
    # A bare name as a value is handed on as a name.
    read = re.sub(r": \w+$", "", text, flags=re.MULTILINE)
    assert [name for name in elsewhere if re.search(rf"\b{name}\b(?! \| default\()", read)] == []


@pytest.mark.parametrize("role", NAMES)
def test_nothing_undefined_is_lost_in_a_template(role: str) -> None:
    """What a method is given is dropped when it is undefined, and all is well: a site was not written, and so removed."""
    text = "".join(p.read_text(encoding="utf-8") for p in files(role, "defaults", "vars", "tasks", "templates"))
    assert re.findall(r"set _ = .*|\{%-? *do .*", text) == []


def _list(value: t.Any) -> list[t.Any]:
    return [] if value is None else list(value) if isinstance(value, list | dict) else [value]


@pytest.mark.parametrize("role", [name for name in NAMES if name != WIRING])
def test_every_role_has_a_scenario_of_its_own(role: str) -> None:
    scenario = ROLES.parent / "molecule" / f"role_{role}"
    assert (scenario / "molecule.yml").is_file()
    (play,) = load(scenario / "converge.yml")
    run = [entry if isinstance(entry, str) else entry["role"] for entry in play["roles"]]
    assert run[-1] == f"durable.temporal.{role}"
    assert WIRING not in (scenario / "converge.yml").read_text(encoding="utf-8")
    # Check mode first on what is bare, and once more when nothing is left to change.
    shared = load(ROLES.parent / "molecule" / "roles.yml")
    steps = [step for step in shared["scenario"]["test_sequence"] if step in ("check", "converge", "idempotence")]
    assert steps == ["check", "converge", "idempotence", "check"]
