# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges one host before anything is changed; ``preflight_report`` tells of all hosts together."""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.durable.temporal.plugins.plugin_utils import _environments as environments
from ansible_collections.durable.temporal.plugins.plugin_utils import _groups as groups_
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight as options_
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_applications as applications
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_dynamic_config as dynamic
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_files as files
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_places as places
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_platform as platform
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_roles as roles_
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_sources as sources
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets as secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._controller import (
    missing_directory,
    missing_file,
    missing_files,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError

WIRING = "topology"
OWN = "preflight"
_APPLICATION = re.compile(r"\w+_applications\[([0-9]+)\]")
# Judged on every host, whichever roles it runs.
WIRED = ("topology_size", "topology_applications", "topology_namespaces")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/preflight.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            argument_spec={
                "roles": {"type": "list", "elements": "str", "required": True},
                "probe": {"type": "dict", "required": True},
                "ignored_variables": {"type": "list", "elements": "str", "default": []},
            }
        )
        secrets.look_only()
        variables: dict[str, t.Any] = task_vars or {}
        specs = roles_.read_specs()
        problems = [
            options_.wrong("topology_roles", repr(role), f"roles of this collection: {', '.join(specs)}")
            for role in given["roles"]
            if role not in specs
        ]
        roles = [role for role in given["roles"] if role in specs]

        # The plays that run these roles come later: their defaults are not among the variables of this one.
        wiring = specs[WIRING]["wiring"]
        wanted = {WIRING: wiring}
        wanted |= {role: specs[role].get("main", {}) for role in (OWN, *roles)}
        wanted["secrets"] = secrets.SPEC
        # Deployments come later, with an environment of their own.
        later = {"app_release"} if platform.APPLICATION_ROLES & set(roles) else set()
        own = roles_.read_variables(self._loader, [*wanted, *later])
        wanted[WIRING] = {**wiring, **roles_.derived(wiring, own, variables)}
        available = {**own, **variables}
        templar = self._templar.copy_with_new_env(available_variables=available)
        names = dict.fromkeys((*WIRED, *(name for spec in wanted.values() for name in spec)))
        names.update(dict.fromkeys(f"{role}_environment" for role in later))
        values, failures = roles_.render(templar, names)
        base = Path(str(variables.get("inventory_dir") or os.getcwd()))
        where = {**roles_.places(variables, base), **roles_.places(values, base, within=True)}

        references = _references(values, variables.get("inventory_dir"), where, failures)
        problems += references
        judged = [
            _options(role, {k: v for k, v in spec.items() if k not in failures}, values)
            for role, spec in wanted.items()
        ]
        # What follows from a wrong value cannot be rendered, or is wrong as well.
        causes = {_name(problem) for problem in judged[0]}
        follows = roles_.dependents({name: available[name] for name in own}, causes)
        problems += options_.check_rendering({k: v for k, v in failures.items() if k not in follows})
        problems += roles_.check_derived(wiring, own, variables)
        problems += _left_out(
            roles, roles_.render(templar, ["topology_roles"])[0] if variables.get("topology_roles") else {}
        )
        problems += roles_.check_names(specs, set(own), variables, given["ignored_variables"])
        elsewhere = {problem.about for problem in references}
        told = [problem for problem in _once(judged, own, follows) if problem.about not in elsewhere]
        problems += [_as_written(problem, variables) for problem in told]
        problems += sources.check_sources(roles, values, missing_directory)
        problems += sources.check_certificates(roles, values, missing_file)
        problems += files.check_contents(roles, values)
        if "temporal" in roles:
            config, version = values.get(dynamic.VARIABLE), values.get("temporal_version")
            problems += dynamic.check_dynamic_config(config, version, given["ignored_variables"])
            listed = [one for name in ("topology_namespaces", "temporal_namespaces") for one in values.get(name) or ()]
            known = {str(one.get("name")) for one in listed if isinstance(one, dict)}
            problems += dynamic.check_namespaces(config, known)
        broken = {int(found[1]) for problem in told if (found := _APPLICATION.match(problem.about))}
        problems += _platform(roles, values, given["probe"], variables, broken)
        if platform.APPLICATION_ROLES & set(roles):
            problems += groups_.check_published(variables.get("groups") or {}, platform.applications(values))

        def found_at(problem: options_.Problem) -> dict[str, str]:
            inner = roles_.place_within(values, _written_at(problem.about, values), base)
            return {**({problem.about: inner} if inner else {}), **where}

        result.update(
            changed=False,
            problems=[options_.locate(problem, found_at(problem)).as_dict() for problem in dict.fromkeys(problems)],
            roles=roles,
            values={
                **{name: values[name] for name in platform.SHARED if name in values},
                **platform.published(roles, values, "nginx_sites" in variables),
            },
            summary=platform.summary(roles, values, given["probe"]),
        )
        return result


def _written_at(about: str, values: t.Mapping[str, t.Any]) -> str:
    """The place of what a problem is about, also when it says ``the port of the application orders``."""
    named = re.search(r"\bapplication ([^ ]+)$", about)
    declared = values.get("topology_applications")
    for index, one in enumerate(declared if named and isinstance(declared, list) else ()):
        if named and isinstance(one, dict) and str(one.get("name")) == named[1]:
            return f"topology_applications[{index}]"
    return about


def _left_out(roles: t.Collection[str], values: dict[str, t.Any]) -> list[options_.Problem]:
    """Roles that the groups give a host, and that ``preflight_roles`` keeps from being judged."""
    found = values.get("topology_roles")
    missing = [str(role) for role in found if role not in roles] if isinstance(found, list) else []
    expected = f"the roles of the host, which are judged together, with {', '.join(missing)}"
    return [options_.wrong("preflight_roles", "set", expected, "Take it out.")] if missing else []


def _references(
    values: dict[str, t.Any], inventory: t.Any, where: dict[str, str], failures: dict[str, str]
) -> list[options_.Problem]:
    """References to secrets that cannot be resolved. What keeps from asking for any is one more failure."""
    try:
        found = environments.judge(values, {**values, "inventory_dir": inventory})
    except SecretError as error:
        failures["secrets_provider"] = str(error)
        return []
    # Options take their values from each other: what is written once is told once, at the first of them.
    once: dict[tuple[str, str], str] = {}
    for place, text in found.items():
        once.setdefault((where.get(place) or re.sub(r"^\w+(?=[.\[])", "", place), text), place)
    return [options_.Problem(place, f"{place} {text}") for (_written, text), place in once.items()]


def _options(role: str, spec: options_.Spec, values: dict[str, t.Any]) -> list[options_.Problem]:
    # The plugins that read the options of secrets convert them.
    texts = role == "secrets"
    problems = options_.check_options(spec, values, texts=texts) + options_.check_passwords(spec, values)
    return problems or options_.check_as_the_role_will(role, spec, values)


def _once(
    judged: t.Sequence[t.Sequence[options_.Problem]], defaults: t.Mapping[str, t.Any], follows: t.Collection[str] = ()
) -> list[options_.Problem]:
    """Problems of all roles, the wiring's first: a value that roles take from it is told once, by the name users set.

    :param follows: variables that follow from a wrong one. Applications have wrong options of their own all the same.
    """

    def shown(problem: options_.Problem) -> bool:
        name = _name(problem)
        return name not in follows or name.endswith("_applications")

    def found(problem: options_.Problem) -> str:
        return problem.text.removeprefix(problem.about).partition(";")[0]

    told = {found(problem) for problem in judged[0]}
    others = [problem for problems in judged[1:] for problem in problems]
    told_once = [*judged[0], *(one for one in others if found(one) not in told or not _taken(_name(one), defaults))]
    return [problem for problem in told_once if shown(problem)]


def _name(problem: options_.Problem) -> str:
    """The variable that a problem lies in."""
    return re.split(r"[.\[]", problem.about)[0]


def _taken(option: str, defaults: t.Mapping[str, t.Any]) -> bool:
    """Whether an option has its value from the wiring unless the user sets it."""
    return f"{WIRING}_" in str(defaults.get(option))


def _as_written(problem: options_.Problem, variables: t.Mapping[str, t.Any]) -> options_.Problem:
    """A problem of an application by the name that people write it under, unless the option of a role is set."""
    role = problem.about.partition("_applications[")[0]
    if role == problem.about or f"{role}_applications" in variables:
        return problem
    about = f"{WIRING}{problem.about.removeprefix(role)}"
    return options_.Problem(about, problem.text.replace(problem.about, about, 1), problem.level)


def _platform(
    roles: list[str],
    values: dict[str, t.Any],
    probe: dict[str, t.Any],
    variables: dict[str, t.Any] | None = None,
    broken: t.Collection[int] = (),
) -> list[options_.Problem]:
    ports = platform.ports(roles, values)
    declared = platform.applications(values) if platform.APPLICATION_ROLES & set(roles) else []
    problems = [
        *platform.check_clashes(ports),
        *platform.check_networks(roles, values),
        *platform.check_container_names(roles, values),
        *platform.check_databases(roles, values),
        *platform.check_settings(roles, values),
        *platform.check_ui_environment(roles, values),
        *platform.check_names_of_lists(values),
        *platform.check_owners(roles, values),
        *platform.check_environments(declared),
        *platform.check_bases(declared, values),
        *(platform.check_sites(values) if "nginx" in roles else []),
        *platform.check_versions(roles, values),
        *places.check_directories(roles, values),
        *platform.check_applications(declared, places.directories(roles, values), broken),
        *platform.check_artifacts(declared, missing_files(declared)),
        *platform.check_namespaces(
            "topology_namespaces",
            values.get("topology_namespaces"),
            platform.namespaces_of(declared),
            bool(((variables or {}).get("groups") or {}).get("temporal")),
        ),
    ]
    if "os" not in probe:
        said = probe.get("module_stderr") or probe.get("msg") or "no answer"
        reason = str(said).strip().splitlines()[-1]
        step = "Make sure that this user may log in and become root there, and run this again."
        return [*problems, options_.wrong("the host", f"out of reach ({reason})", "an answer", step)]
    about = applications.check(declared, probe, _people(values, variables or {}))
    # What a rename has left holds the port, which is told with the rename.
    claimed = {f"the port of {problem.about}" for problem in about if problem.level == "error"}
    foreign = [
        *platform.check_foreign(ports, probe),
    ]
    return [
        *problems,
        *about,
        *applications.check_deploy_user(str(values.get("host_deploy_user") or ""), probe),
        *platform.check_system(roles, probe),
        *platform.check_node(roles, values, probe),
        *platform.check_engine(roles, values, probe),
        *platform.check_engine_users(roles, values, probe),
        *platform.check_groups(roles, values, probe),
        *platform.check_data(roles, values, probe),
        *places.check_taken(roles, values, declared, probe),
        *files.check_files(roles, values, probe),
        *platform.check_addresses(roles, values, probe),
        *platform.check_ipv6(roles, values, probe),
        *platform.check_firewall(roles, values, probe),
        *(platform.check_foreign_sites(values, probe) if "nginx" in roles else []),
        *platform.check_pm2(roles, values, probe),
        *platform.check_temporal_command(roles, values, probe),
        *platform.check_programs(roles, probe),
        *platform.check_room(probe, values.get("topology_size"), bool({"postgres", "temporal"} & set(roles))),
        *platform.check_containers(roles, values, probe),
        *(problem for problem in foreign if problem.about not in claimed),
    ]


def _people(values: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, str]:
    """Accounts that are not for applications, and what they are for."""
    named = {"ansible_user": variables.get("ansible_user"), "host_deploy_user": values.get("host_deploy_user")}
    return {str(name): f"that of {variable}" for variable, name in named.items() if name}
