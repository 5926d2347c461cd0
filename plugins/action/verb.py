# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what a playbook is asked for, before anything else of it runs: options, groups, hosts, applications."""

from __future__ import annotations

import os
import re
import typing as t
from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.splitter import parse_kv
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from ansible_collections.durable.temporal.plugins.plugin_utils import _environments as environments
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight as options_
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_platform as platform
from ansible_collections.durable.temporal.plugins.plugin_utils import _preflight_roles as roles_
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets as secrets
from ansible_collections.durable.temporal.plugins.plugin_utils import _tags as tags
from ansible_collections.durable.temporal.plugins.plugin_utils import _variable_files as files
from ansible_collections.durable.temporal.plugins.plugin_utils import _verb as verbs
from ansible_collections.durable.temporal.plugins.plugin_utils._controller import missing_files
from ansible_collections.durable.temporal.plugins.plugin_utils._groups import OURS, check_groups
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Problem
from ansible_collections.durable.temporal.plugins.plugin_utils._references import SecretError

PLAYBOOKS = roles_.COLLECTION / "playbooks"
ROLE = "verb"
WIRING = "topology"
DEPLOYS = "app_release"
APPLICATIONS = "topology_applications"
SERIAL = "app_release_serial"
CONNECTION = "topology_temporal_connection"
DATABASE = "status_database"
PASSWORDS = ("topology_postgres_superuser_password", "topology_database_password")

Found = list[tuple[str, Problem]]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Documented in ``plugins/modules/verb.py``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            argument_spec={"name": {"type": "str", "choices": list(verbs.VERBS), "required": True}}
        )
        secrets.look_only()
        verb = given["name"]
        variables: dict[str, t.Any] = task_vars or {}
        self._specs = roles_.read_specs()
        self._defaults = roles_.read_variables(self._loader, (WIRING, DEPLOYS))
        self._hosts = {host: variables["hostvars"].raw_get(host) for host in variables["groups"]["all"]}
        self._wrong: dict[str, set[str]] = {}
        self._follows: dict[str, set[str]] = {}
        spec = self._specs[ROLE][verb]
        values, problems = self._options(verb, spec, variables)
        problems += [("", problem) for problem in self._inventory(verb, variables)]
        # The plays of site begin with the judgement of everything.
        problems += self._wiring(variables) if verb != "site" else []
        if verbs.VERBS[verb].applications:
            problems += self._applications(verb, values.get(f"{verb}_application") or "", variables)
        if verb == "remove":
            problems += self._stays(variables)
        problems += self._roles(verb, variables)
        problems += self._names(verb, variables)
        if renew := values.get("rotate_renew"):
            problems += self._secrets(renew, variables)

        errors, warnings = platform.report(problems, "error"), platform.report(problems, "warning")
        for line in warnings:
            Display().warning(line)
        if errors:
            return {**result, "changed": False, "failed": True, "msg": platform.refusal(errors)}
        checked = ArgumentSpecValidator(spec).validate(values).validated_parameters
        options = {name.removeprefix(f"{verb}_"): value for name, value in checked.items()}
        checks = self._unknown(variables) if verb == "status" else {}
        return {
            **result,
            "changed": False,
            "options": options,
            "cautions": warnings,
            "checks": checks,
            "environment": {},
        }

    # What was written on the command line

    def _options(self, verb: str, spec: options_.Spec, variables: dict[str, t.Any]) -> tuple[dict[str, t.Any], Found]:
        """The values of the options that were given, and what is wrong with them or with other variables of ``-e``."""
        extra = load_extra_vars(self._loader)
        texts = [str(text) for text in context.CLIARGS.get("extra_vars") or ()]
        inline = {name for text in texts if not text.startswith("@") for name in _names(self._loader, text)}
        # A playbook that imports one of ours may give options as variables of the import.
        of_playbook = {name: variables[name] for name in spec if name in variables and not self._in_inventory(name)}
        values, failures = roles_.render(self._templar, [name for name in spec if name in of_playbook])
        known = verbs.Known(self._specs[ROLE], self._known(), self._ignored(next(iter(self._hosts), ""), variables))
        others = {name: name not in inline for name in extra}
        once = (*spec, *verbs.FILLED_IN)
        set_in = {name: self._place(name) for name in once if self._in_inventory(name)}
        problems = [
            *verbs.cut_texts(texts),
            *verbs.check_names(verb, others, known, roles_.read(others, self._hosts.values())),
            *verbs.check_internals(extra, self._specs),
            *self._imported(verb, known, set(extra)),
            *self._tags(verb),
            *options_.check_rendering(failures),
            *verbs.check_values(verb, spec, values),
            *verbs.check_inventory(spec, set_in),
        ]
        for name in (name for name in values if name.endswith("_release")):
            problems += verbs.check_release(name, values[name])
        return values, [("", problem) for problem in problems]

    def _imported(self, verb: str, known: verbs.Known, extra: set[str]) -> list[Problem]:
        """What is wrong with the variables that a playbook gives to the import of ours."""
        # What our own playbooks hand on is made of what this task returns.
        given = [
            name
            for name, value in self._task.get_play().vars.items()
            if name not in extra and "__verb." not in str(value)
        ]
        form = "{}, a variable of the playbook that imports this one,"
        return verbs.check_names(
            verb, dict.fromkeys(given, False), known, roles_.read(given, self._hosts.values()), form
        )

    def _tags(self, verb: str) -> list[Problem]:
        """What is wrong with ``--tags`` and ``--skip-tags``. A playbook that imports ours may give tags to the import."""
        of_import = {str(tag) for tag in self._task.tags} - {"always"}
        having = [own | of_import for own in tags.parts(self._plays(PLAYBOOKS / f"{verb}.yml"))]
        only, skip = (list(context.CLIARGS.get(option) or ()) for option in ("tags", "skip_tags"))
        problems = tags.check_tags(verb, only, skip, having)
        for path in (Path(str(playbook)).resolve() for playbook in context.CLIARGS.get("args") or ()):
            ours = not path.exists() or PLAYBOOKS in path.parents
            if not ours and not tags.imports_only(path, self._plays(path), PLAYBOOKS.parent):
                # They may be tags of plays that are not ours.
                return [Problem(problem.about, problem.text, "warning") for problem in problems]
        return problems

    def _plays(self, playbook: Path) -> tags.Plays:
        return list(self._loader.load_from_file(str(playbook)) or ())

    def _known(self) -> set[str]:
        """The names of all options of roles, and of what the wiring derives from them."""
        roles = [role for role in self._specs if role != ROLE]
        options = {name for role in roles for entry in self._specs[role].values() for name in entry}
        return options | set(self._defaults) | set(secrets.SPEC)

    def _ignored(self, host: str, variables: Mapping[str, t.Any]) -> list[str]:
        values, _failures = self._render(host, ["preflight_ignored_variables"], variables) if host else ({}, {})
        found = values.get("preflight_ignored_variables")
        return [str(pattern) for pattern in found] if isinstance(found, list) else []

    # The inventory

    def _names(self, verb: str, variables: dict[str, t.Any]) -> Found:
        """Variables of the inventory that were meant for us, and that nothing reads."""
        own, extra = set(self._defaults), load_extra_vars(self._loader)
        problems: Found = []
        for host, everything in self._hosts.items():
            of_host = {name: value for name, value in everything.items() if name not in extra}
            ignored = self._ignored(host, variables)
            found = options_.check_bare(of_host, ignored)
            # Preflight tells of the others, together with all that is wrong with options.
            if verb != "site":
                found += roles_.check_names(self._specs, own, of_host, ignored)
            where = roles_.places(of_host, Path(os.getcwd()))
            read = roles_.read([problem.about for problem in found], [of_host])
            problems += [(host, options_.locate(problem, where)) for problem in found if problem.about not in read]
        return problems

    def _in_inventory(self, name: str) -> bool:
        """Whether a variable is set for a host, by the inventory or with ``-e``; not by a play or a default."""
        return name not in load_extra_vars(self._loader) and any(name in host for host in self._hosts.values())

    def _place(self, name: str) -> str:
        base = Path(os.getcwd())
        return next((p for host in self._hosts.values() if (p := roles_.places(host, base).get(name))), "")

    def _set(self, name: str) -> bool:
        return any(name in host for host in self._hosts.values())

    def _inventory(self, verb: str, variables: dict[str, t.Any]) -> list[Problem]:
        declared = max((len(self._declared(host, variables)) for host in self._hosts), default=0)
        places = files.directories(variables.get("ansible_inventory_sources"), str(variables.get("playbook_dir") or ""))
        groups = {name: list(members) for name, members in variables["groups"].items()}
        problems = check_groups(
            groups, declared, self._set("topology_temporal_address"), self._set("topology_database_host")
        )
        if any(groups.get(name) for name in OURS):
            told = {problem.about for problem in problems}
            hosts = verbs.check_hosts(verb, groups, variables["ansible_play_hosts_all"])
            problems += [problem for problem in hosts if problem.about not in told]
        problems += verbs.check_limit(context.CLIARGS.get("subset"), list(self._hosts), list(groups))
        known = {"group_vars": set(groups), "host_vars": set(self._hosts)}
        sources = variables.get("ansible_inventory_sources")
        return problems + files.check_files(self._loader, places, known, self._known(), sources)

    def _wiring(self, variables: dict[str, t.Any]) -> Found:
        """Options of the wiring that are set to what cannot be. What follows from them is not told again."""
        problems: Found = []
        spec = self._specs[WIRING]["wiring"]
        members = {host for group in OURS for host in variables["groups"].get(group) or ()}
        for host in sorted(members & set(self._hosts)):
            of_host = self._hosts[host]
            judged = {**spec, **roles_.derived(spec, self._defaults, of_host)}
            values, _failures = self._render(host, [name for name in judged if name in of_host], variables)
            found = options_.check_options({name: judged[name] for name in values}, values)
            found += roles_.check_derived(spec, self._defaults, of_host)
            of_roles = {name: of_host.get(name, default) for name, default in self._defaults.items()}
            self._wrong[host] = {re.split(r"[.\[]", p.about)[0] for p in found}
            self._follows[host] = roles_.dependents(of_roles, self._wrong[host])
            where = roles_.places(of_host, Path(os.getcwd()))
            problems += [(host, options_.locate(problem, where)) for problem in found]
        return problems

    def _declared(self, host: str, variables: dict[str, t.Any]) -> list[t.Any]:
        """The applications of a host, as far as they can be counted: their secrets need not be at hand for that."""
        written = self._hosts[host].get(APPLICATIONS) or []
        if isinstance(written, str):
            written = self._render(host, [APPLICATIONS], variables)[0].get(APPLICATIONS, [written])
        return written if isinstance(written, list) else [written]

    def _render(
        self, host: str, names: Iterable[str], variables: Mapping[str, t.Any], roles: Iterable[str] = ()
    ) -> tuple[dict[str, t.Any], dict[str, str]]:
        """The values of options on a host, with the defaults of their roles, and the causes of those without one.

        :param roles: those whose defaults count as well.
        """
        defaults = {**self._defaults, **roles_.read_variables(self._loader, roles)}
        available = {**defaults, **self._hosts[host], "hostvars": variables["hostvars"]}
        return roles_.render(self._templar.copy_with_new_env(available_variables=available), names)

    # What they need

    def _roles(self, verb: str, variables: dict[str, t.Any]) -> Found:
        """Options of the roles that cannot be, or that cannot be rendered, such as those whose secret nobody has."""
        problems: Found = []
        roles: dict[str, list[str]] = {}
        for group, role in verbs.VERBS[verb].reads.items():
            for host in variables["groups"].get(group) or ():
                roles.setdefault(host, []).append(role)
        for host in (host for host in roles if host in variables["ansible_play_hosts_all"]):
            spec = {name: option for role in roles[host] for name, option in self._specs[role]["main"].items()}
            # Without the password, status looks at the rest.
            defaults = {**self._defaults, **roles_.read_variables(self._loader, roles[host]), **self._hosts[host]}
            options = spec.keys() - roles_.dependents(defaults, self._wrong.get(host, set())) - {DATABASE}
            # The wiring's first: they are what people set.
            values, failures = self._render(host, (*PASSWORDS, *sorted(options)), variables, roles[host])
            needed = {cause for name, cause in failures.items() if name in options}
            causes = {name: cause for name, cause in failures.items() if cause in needed}
            found = options_.check_rendering(causes)
            found += options_.check_options({name: spec[name] for name in sorted(options) if name in values}, values)
            where = roles_.places(self._hosts[host], Path(os.getcwd()))
            problems += [(host, options_.locate(problem, where)) for problem in found]
        return problems

    def _references(self, host: str, declared: Mapping[str, t.Any], variables: dict[str, t.Any]) -> list[Problem]:
        """References in environments to secrets that cannot be had.

        :param declared: names of options to their values.
        """
        known, failures = self._render(host, (*secrets.VARIABLES.values(), *secrets.SPEC, "inventory_dir"), variables)
        try:
            found = environments.judge(declared, known)
        except SecretError as error:
            return options_.check_rendering({**failures, "secrets_provider": str(error)})
        where = roles_.places(dict(declared), Path(os.getcwd()), within=True)
        problems = [Problem(place, f"{place} {text}") for place, text in found.items()]
        return options_.check_rendering(failures) + [options_.locate(problem, where) for problem in problems]

    def _unknown(self, variables: dict[str, t.Any]) -> dict[str, list[dict[str, str]]]:
        """Host → a failed check, where there is no password to look into the database with.

        What a provider would make up for a new platform is that of no database.
        """
        checks: dict[str, list[dict[str, str]]] = {}
        for host in variables["groups"].get("temporal") or ():
            if host in variables["ansible_play_hosts_all"]:
                with secrets.known_only():
                    failures = self._render(host, [DATABASE], variables, ["status"])[1]
                if failures:
                    checks[host] = [verbs.without_password(failures[DATABASE])]
        return checks

    # What they are to be done with

    def _applications(self, verb: str, name: str, variables: dict[str, t.Any]) -> Found:
        targeted = variables["ansible_play_hosts_all"]
        hosts = [host for host in variables["groups"].get("app") or () if host in targeted]
        if not hosts:
            return []
        problems: Found = []
        declared: dict[str, list[str]] = {}
        for host in hosts:
            found, wanted = self._declarations(host, variables)
            problems += [(host, problem) for problem in found]
            declared[host] = [str(application.get("name")) for application in wanted]
            if verb == "rollback":
                # The release is kept: npm installs nothing.
                wanted = [{k: v for k, v in one.items() if k != "npm_environment"} for one in wanted]
            if not found:
                problems += [(host, problem) for problem in self._deployed(host, name, wanted, variables)]
            if verb == "deploy":
                chosen = [name] if name else declared[host]
                needed = platform.check_artifacts(wanted, missing_files(wanted), chosen)
                bases, _failures = self._render(host, platform.BASES, variables, ("pm2_worker", "systemd_worker"))
                # Those of what site has started. A rollback is not kept from its way by them.
                needed += platform.check_environments(wanted) + platform.check_bases(wanted, bases)
                where = roles_.places(self._hosts[host], Path(os.getcwd()))
                problems += [(host, options_.locate(problem, where)) for problem in needed]
        if not any(problem.level == "error" for _host, problem in problems):
            problems += [("", problem) for problem in verbs.check_application(verb, name, declared)]
        serials = {
            host: self._render(host, [SERIAL], variables)[0].get(SERIAL)
            for host in variables["groups"].get("app") or ()
        }
        return problems + [("", problem) for problem in verbs.check_serial(serials)]

    def _declarations(self, host: str, variables: dict[str, t.Any]) -> tuple[list[Problem], list[dict[str, t.Any]]]:
        """What is wrong with the applications of a host and the other options of their deployment; the applications."""
        spec = dict(self._specs[DEPLOYS]["main"])
        # Named as people write it, unless somebody has set the option of the role itself.
        own = f"{DEPLOYS}_applications"
        name = own if own in self._hosts[host] else APPLICATIONS
        spec[name] = spec.pop(own)
        follows = self._follows.get(host, set())
        options = [option for option in spec if option not in verbs.FILLED_IN and option not in follows]
        values, failures = self._render(host, options, variables)
        problems = options_.check_rendering(failures)
        problems += options_.check_options({k: v for k, v in spec.items() if k in values}, values)
        applications = values.get(name)
        wanted = [a for a in applications if isinstance(a, dict)] if isinstance(applications, list) else []
        if not problems:
            problems = platform.check_applications(wanted)
        where = roles_.places(self._hosts[host], Path(os.getcwd()))
        return [options_.locate(problem, where) for problem in problems], wanted

    def _deployed(
        self, host: str, name: str, wanted: list[dict[str, t.Any]], variables: dict[str, t.Any]
    ) -> list[Problem]:
        """Secrets that are missing of what is deployed.

        :param name: of the only application that is; empty when all are.
        """
        own, environment = f"{DEPLOYS}_applications", f"{DEPLOYS}_environment"
        values, failures = self._render(host, [environment, CONNECTION], variables)
        where = roles_.places(self._hosts[host], Path(os.getcwd()))
        problems = [options_.locate(problem, where) for problem in options_.check_rendering(failures)]
        chosen = [application if name in ("", application.get("name")) else None for application in wanted]
        declared = {own if own in self._hosts[host] else APPLICATIONS: chosen, environment: values.get(environment)}
        return problems + self._references(host, declared, variables)

    def _stays(self, variables: dict[str, t.Any]) -> Found:
        """What keeps from knowing which applications stay. Whether ``--limit`` leaves a host out does not matter."""
        said: dict[str, bool] = {}
        problems: Found = []
        app = list(variables["groups"].get("app") or ())
        for host, of_host in self._hosts.items():
            values, failures = self._render(host, [APPLICATIONS] if APPLICATIONS in of_host else [], variables)
            said[host] = bool(failures) or values.get(APPLICATIONS) is not None
            found = self._declarations(host, variables)[0] if host in app else options_.check_rendering(failures)
            problems += [(host, problem) for problem in found]
        return problems + [("", problem) for problem in verbs.check_stays(said, app)]

    def _secrets(self, renew: t.Any, variables: dict[str, t.Any]) -> Found:
        names = ArgumentSpecValidator(self._specs[ROLE]["rotate"]).validate({"rotate_renew": renew})
        wanted = names.validated_parameters["rotate_renew"]
        host = next(iter(variables["groups"].get("temporal") or ()), "")
        if not host or names.error_messages:
            return []
        known = self._render(host, ["topology_secret_names"], variables)[0].get("topology_secret_names") or []
        return [("", problem) for problem in verbs.check_secrets("rotate_renew", wanted, [str(name) for name in known])]


def _names(loader: t.Any, text: str) -> list[str]:
    """The variables that one ``-e`` sets."""
    try:
        found = loader.load(text) if text[:1] in ("{", "[") else parse_kv(text)
    except AnsibleError:
        return []
    return [str(name) for name in found] if isinstance(found, dict) else []
