# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges hosts and the platform before anything is changed: ports, releases, room, applications, connections.

Private to this collection. Pure: plain data in, problems out. Options themselves are judged in ``_preflight.py``.

``values`` are rendered options of the roles of one host, by name; any may be missing, because its own problem has been
reported already. ``probe`` is what the module ``host_probe`` returned; empty when the host could not be looked at.
"""

from __future__ import annotations

import ipaddress
import itertools
import posixpath
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.durable.temporal.plugins.module_utils import _engine as engine_
from ansible_collections.durable.temporal.plugins.module_utils import _versions as versions
from ansible_collections.durable.temporal.plugins.module_utils._application import (
    CANDIDATE,
    InvalidApplication,
    normalise,
    reserved,
)
from ansible_collections.durable.temporal.plugins.module_utils._client import SYSTEM_NAMESPACE
from ansible_collections.durable.temporal.plugins.module_utils._duration import parse_duration
from ansible_collections.durable.temporal.plugins.module_utils._postgres import too_short
from ansible_collections.durable.temporal.plugins.module_utils._registry import SITES
from ansible_collections.durable.temporal.plugins.module_utils._systemd import CONTROL
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight import Level, Problem, describe, wrong
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_applications import DECLARED_IN, normalised
from ansible_collections.durable.temporal.plugins.plugin_utils._preflight_places import check_roots, plain, related

Values = Mapping[str, t.Any]
Probe = Mapping[str, t.Any]

SUPPORTED_SYSTEMS = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
SUPPORTED_ARCHITECTURES = ("x86_64", "aarch64")
OLDEST_PYTHON = (3, 10)
# What the Temporal SDK for TypeScript needs, and what the distributions have.
OLDEST_NODE = 20
# Where Node.js comes from → the variable that says which.
VERSION_OF_NODE = {"nodesource": "pm2_worker_node_major", "controller": "pm2_worker_node_version"}
NODE_OF_SYSTEMS = {"debian 12": 18, "debian 13": 20, "ubuntu 22.04": 12, "ubuntu 24.04": 18}
# Size → processors and GiB of memory that its settings are made for.
SIZES = {"small": (2, 8), "medium": (4, 16), "large": (8, 32)}
ROOM_TO_START_MB = 500
ROOM_TO_WORK_MB = 5 * 1024
CLOCK_SECONDS = 30
# A server process runs these four, each with pools of its own.
SERVER_ROLES = 4
SHORTEST_RETENTION_SECONDS = 3600

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ANY = ("", "*", "0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True)
class Port:
    """A port that something of ours is to listen on, and the container or units that may hold it already."""

    component: str
    variable: str
    number: int
    address: str
    container: str = ""
    units: tuple[str, ...] = ()

    def clashes(self, address: str, number: int) -> bool:
        """Whether a socket at that address keeps this one from being opened."""
        ours, theirs = _plain(self.address), _plain(address)
        return self.number == number and (ours == theirs or ours in _ANY or theirs in _ANY)


def _plain(address: str) -> str:
    return {"localhost": "127.0.0.1", "::1": "127.0.0.1"}.get(address, address.strip("[]"))


@dataclass(frozen=True)
class Component:
    """Something that a role runs as one container or one service."""

    role: str
    name: str
    version: str  # variable of its version; empty when the distribution decides
    container: str  # variable of the container's name
    directory: str  # variable of the Compose project's directory
    ports: tuple[str, ...]
    bind: str


COMPONENTS = (
    Component(
        "postgres",
        "PostgreSQL",
        "postgres_version",
        "postgres_container",
        "postgres_directory",
        ("postgres_port",),
        "postgres_bind_address",
    ),
    Component(
        "temporal",
        "Temporal server",
        "temporal_version",
        "temporal_container",
        "temporal_directory",
        ("temporal_grpc_port", "temporal_http_port", "temporal_metrics_port"),
        "temporal_bind_address",
    ),
    Component(
        "temporal_ui",
        "Temporal UI",
        "temporal_ui_version",
        "temporal_ui_container",
        "temporal_ui_directory",
        ("temporal_ui_port",),
        "temporal_ui_bind_address",
    ),
)


# Containers that come with a component.
HELPERS = {"temporal": ("temporal_admin_tools_container",)}
# Roles that take applications.
APPLICATION_ROLES = {"pm2_worker", "systemd_worker", "app_release"}
_UNITS = {"postgres": ("postgresql",), "temporal": ("temporal",), "temporal_ui": ("temporal-ui",)}


def components(roles: t.Collection[str], values: Values) -> list[Component]:
    """Those components that are to run on the host itself."""
    return [c for c in COMPONENTS if c.role in roles and values.get(f"{c.role}_runtime") != "external"]


def applications(values: Values) -> list[Mapping[str, t.Any]]:
    """The applications of a host, as declared."""
    for name in DECLARED_IN:
        declared = values.get(name)
        if isinstance(declared, list) and declared:
            return [a for a in declared if isinstance(a, Mapping)]
    return []


# Ports


def ports(roles: t.Collection[str], values: Values) -> list[Port]:
    """Every port that is to be opened on a host."""
    found: list[Port] = []
    for component in components(roles, values):
        # One or the other: the distribution's PostgreSQL is foreign where ours is to be a container.
        native = values.get(f"{component.role}_runtime") == "systemd"
        container = "" if native else str(values.get(component.container) or "")
        units = _UNITS[component.role] if native else ()
        for variable in component.ports:
            number = _port(values.get(variable))
            if number:
                address = str(values.get(component.bind) or "127.0.0.1")
                found.append(Port(component.name, variable, number, address, container, units))
    if "nginx" in roles:
        found += _nginx_ports(values)
    if APPLICATION_ROLES & set(roles):
        for index, application in enumerate(applications(values)):
            name, number = str(application.get("name") or f"number {index + 1}"), _port(application.get("port"))
            if number:
                variable = f"the port of the application {name}"
                found.append(
                    Port(f"application {name}", variable, number, "", units=_application_units(application, name))
                )
    return found


def _application_units(application: Mapping[str, t.Any], name: str) -> tuple[str, ...]:
    """The units that may hold the port of an application. A socket is held by systemd itself."""
    processes = _processes(application)
    own = [f"{name}-{process.get('name')}" for process in processes]
    return (f"{name}-pm2", name, *own, *(["init.scope"] if any(p.get("socket") for p in processes) else []))


def _processes(application: Mapping[str, t.Any]) -> list[Mapping[str, t.Any]]:
    declared = application.get("processes")
    return [p for p in declared if isinstance(p, Mapping)] if isinstance(declared, list) else []


def _nginx_ports(values: Values) -> list[Port]:
    sites = values.get("nginx_sites")
    found: dict[int, Port] = {}
    for site in sites if isinstance(sites, list) else []:
        if isinstance(site, Mapping):
            for variable, number in _site_ports(site, values):
                # Several sites may share a port: nginx tells them apart by host name.
                if number:
                    found.setdefault(number, Port("nginx", variable, number, "", units=("nginx",)))
    return list(found.values())


def _site_ports(site: Mapping[str, t.Any], values: Values) -> list[tuple[str, int]]:
    """The ports that a site is on, each with the variable that says so."""
    tls = site.get("tls") if isinstance(site.get("tls"), Mapping) else {}
    return [_site_port(site, values), *([_site_port(site, values, tls)] if tls else [])]


def _site_port(site: Mapping[str, t.Any], values: Values, tls: Mapping[str, t.Any] | None = None) -> tuple[str, int]:
    """The variable that says on which port a site is, and the port; that of HTTPS when ``tls`` is given."""
    own = site if tls is None else tls
    if own.get("listen"):
        return f"listen of the site {site.get('name')} in nginx_sites", _port(own["listen"])
    variable = "nginx_tls_port" if tls is not None else "nginx_ui_port" if site.get("kind") == "ui" else "nginx_port"
    return variable, _port(values.get(variable))


def check_sites(values: Values) -> list[Problem]:
    """Sites of one edge that nginx could not tell apart: the same port and the same host name."""
    declared = values.get("nginx_sites")
    sites = [site for site in declared if isinstance(site, Mapping)] if isinstance(declared, list) else []
    shared = _check_ui(sites, values)
    problems = [*_check_protocols(sites, values), *_check_certificates(sites, values), *shared]
    # Told already, as what it is.
    judged = [site for site in sites if site.get("kind") != "ui"] if shared else sites
    seen: dict[tuple[int, int, str], str] = {}
    told: set[tuple[str, str]] = set()
    for site in judged:
        own, names = str(site.get("name")), str(site.get("server_name") or "_").split()
        for name, (secure, (_variable, port)) in itertools.product(names, enumerate(_site_ports(site, values))):
            # Names of hosts have no case, and may end in the dot of the root.
            other = seen.setdefault((secure, port, name.lower().rstrip(".")), own)
            if other != own and (own, name) not in told:
                told.add((own, name))
                shown = "_ (any name)" if name == "_" else name
                problems.append(
                    wrong(
                        f"server_name of the nginx site {own}",
                        f"{shown} on port {port}, as of the site {other}",
                        "a host name of its own",
                        "Set server_name of the application, such as orders.example.com.",
                    )
                )
    return problems


def check_foreign_sites(values: Values, probe: Probe) -> list[Problem]:
    """Files of others where sites of ours would come. Whose they are is seen by root only."""
    sites = values.get("nginx_sites")
    names = [str(site.get("name")) for site in sites if isinstance(site, Mapping)] if isinstance(sites, list) else []
    found = probe.get("foreign_files", ()) if probe.get("privileged") else ()
    step = "Move it away, or choose another name."
    return [
        wrong(f"the nginx site {name}", f"one whose {path} is somebody else's", "a name of its own", step)
        for name in names
        if (path := f"{SITES}/{name}.conf") in found
    ]


def _check_ui(sites: Sequence[Mapping[str, t.Any]], values: Values) -> list[Problem]:
    """A UI without a host name on a port of applications: every name there that is not theirs would lead to it."""
    # The first port of a site is for plain HTTP. One that is for both has been told.
    taken = {
        (secure, port): variable
        for site in sites
        for secure, (variable, port) in enumerate(_site_ports(site, values))
        if site.get("kind") != "ui" and port
    }
    return [
        wrong(
            variable,
            f"{port}, which is also {taken[secure, port]}",
            "a port of its own, as the site of the UI has no host name",
            "Change one of them, or write nginx_sites with a server_name for each.",
        )
        for site in sites
        if site.get("kind") == "ui" and str(site.get("server_name") or "_") == "_"
        for secure, (variable, port) in enumerate(_site_ports(site, values))
        if (secure, port) in taken
    ]


CERTIFICATES = "/etc/nginx/tls"


def _check_certificates(sites: Sequence[Mapping[str, t.Any]], values: Values) -> list[Problem]:
    """Certificates without their keys, and texts without a place of ours: a site without TLS, or none at all."""
    problems: list[Problem] = []
    for index, site in enumerate(sites):
        tls = site.get("tls") or {}
        if not isinstance(tls, Mapping):
            continue
        about = "topology_tls" if tls == values.get("topology_tls") else f"nginx_sites[{index}].tls"
        pairs = (("certificate", "key"), ("certificate_content", "key_content"))
        for one, other in (*pairs, *(pair[::-1] for pair in pairs)):
            if tls.get(one) and not tls.get(other):
                step = "Set both, or none of them for plain HTTP."
                problems.append(wrong(f"{about}.{other}", f"not set, and {one} is", "both of them", step))
        for what in ("certificate", "key"):
            path = str(tls.get(what) or "")
            if tls.get(f"{what}_content") and posixpath.dirname(plain(path)) != CERTIFICATES:
                expected = f"a file in {CERTIFICATES}, which {what}_content is written to"
                problems.append(wrong(f"{about}.{what}", path or "not set", expected, "Correct the path."))
    return list(dict.fromkeys(problems))


def _check_protocols(sites: Sequence[Mapping[str, t.Any]], values: Values) -> list[Problem]:
    """Ports that one site wants for HTTPS and another, or the same, for plain HTTP."""
    plain = {number: variable for variable, number in (_site_port(site, values) for site in sites)}
    secure = {
        number: variable
        for site in sites
        if isinstance(site.get("tls"), Mapping) and site["tls"]
        for variable, number in [_site_port(site, values, site["tls"])]
    }
    return [
        wrong(secure[number], f"{number}, which is also {plain[number]}", "a port of its own", "Change one of them.")
        for number in sorted(plain.keys() & secure.keys())
        if number
    ]


def _port(value: t.Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 < number < 65536 and not isinstance(value, bool) else 0


def check_clashes(wanted: Sequence[Port]) -> list[Problem]:
    """Ports that two of our own components want."""
    problems = []
    for index, one in enumerate(wanted):
        for other in wanted[:index]:
            if one.clashes(other.address, other.number):
                problems.append(
                    wrong(
                        one.variable,
                        f"{one.number}, which is also {other.variable}",
                        "a port of its own",
                        "Change one of them.",
                    )
                )
    return problems


def check_foreign(wanted: Sequence[Port], probe: Probe) -> list[Problem]:
    """Ports that something which is not ours holds already. Who holds a port is seen by root only."""
    if not probe.get("privileged"):
        return []
    names = {p.container for p in wanted if p.container}
    units = {u for p in wanted for u in p.units}
    problems = []
    for port in wanted:
        holders = [one for one in probe.get("listeners", ()) if port.clashes(one["address"], one["port"])]
        foreign = [one for one in holders if not _ours(one, names, units) and not _between_starts(one, probe, names)]
        if foreign:
            step = f"Stop it, or set {port.variable} to a free one."
            if port.component == "PostgreSQL" and "postgres" in str(foreign[0]["process"]):
                step += " To use that database instead, set postgres_runtime: external."
            found = f"{port.number}, where {_holder(foreign[0])} listens already"
            problems.append(
                wrong(port.variable, found, f"a port that is free or held by our own {port.component}", step)
            )
    return problems


def _ours(listener: Mapping[str, t.Any], names: t.Collection[str], units: t.Collection[str]) -> bool:
    if listener["container"]:
        return listener["container"] in names
    unit = str(listener["unit"]).removesuffix(".service")
    # Templates and clusters: postgresql@17-main belongs to postgresql.
    return bool(unit) and (unit in units or unit.partition("@")[0] in units)


def _between_starts(listener: Mapping[str, t.Any], probe: Probe, names: t.Collection[str]) -> bool:
    """Whether Docker holds a port for a container of ours that starts again and again, so that it has no process now."""
    unsteady = {str(c["name"]) for c in probe.get("containers", ()) if c["state"] != "running"}
    return listener["process"] == "docker-proxy" and not listener["container"] and bool(unsteady & set(names))


def _holder(listener: Mapping[str, t.Any]) -> str:
    where = f"on {listener['address']}" if listener["address"] not in _ANY else "on every address"
    if listener["container"]:
        return f"the container {listener['container']} {where}"
    if listener["process"]:
        unit = f" of {listener['unit']}" if listener["unit"] else ""
        return f"{listener['process']} (process {listener['pid']}{unit}) {where}"
    return f"a process that could not be seen {where}"


def check_containers(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """Containers with a name of ours: whether they are ours, and whether their release may become the wanted one."""
    present = {str(c["name"]): c for c in probe.get("containers", ())}
    problems: list[Problem] = []
    for component in components(roles, values):
        directory = str(values.get(component.directory) or "")
        for variable in (component.container, *HELPERS.get(component.role, ())):
            container = present.get(str(values.get(variable)))
            if container is None:
                continue
            if not directory or container["directory"] == directory:
                problems += _check_step(component, values, container) if variable == component.container else []
                continue
            made = (
                f"the Compose project in {container['directory']}" if container["directory"] else "no Compose project"
            )
            problems.append(
                wrong(
                    variable,
                    f"{container['name']}, and a container of that name exists that belongs to {made}",
                    f"none, or that of the project in {directory}",
                    f"Set {variable} to another name, or remove the container that has this one.",
                )
            )
    return problems


def check_networks(roles: t.Collection[str], values: Values) -> list[Problem]:
    """Containers of one host that could not reach each other, as they are in networks of their own."""
    options = {f"{c.role}_docker_network": values.get(f"{c.role}_docker_network") for c in components(roles, values)}
    first = next((variable for variable, name in options.items() if name), "")
    return [
        wrong(
            variable,
            describe(name),
            f"{options[first]}, as {first}",
            "Set topology_docker_network instead, for all containers of the host.",
        )
        for variable, name in options.items()
        if name and name != options[first]
    ]


def check_container_names(roles: t.Collection[str], values: Values) -> list[Problem]:
    """Containers of one host that would have one name: the second takes the place of the first."""
    names = [
        (variable, str(values[variable]))
        for component in components(roles, values)
        for variable in (component.container, *HELPERS.get(component.role, ()))
        if values.get(variable)
    ]
    first: dict[str, str] = {}
    for variable, name in names:
        first.setdefault(name, variable)
    return [
        wrong(variable, f"{name!r}, as {first[name]}", "a name of its own", "Change one of them.")
        for variable, name in names
        if first[name] != variable
    ]


# What is listed with a name, and what the second of one name would do.
LISTS = {
    "nginx_sites": "The file of the first site would be that of the second.",
    "postgres_users": "Each run would change the password again.",
    "postgres_databases": "Each run would change the owner again.",
}


def check_names_of_lists(values: Values) -> list[Problem]:
    """Two of one name in a list of what has a name."""
    problems = []
    for variable, reason in LISTS.items():
        seen: dict[str, int] = {}
        rows = values.get(variable)
        for index, row in enumerate(rows if isinstance(rows, list) else []):
            name = str(row.get("name")) if isinstance(row, Mapping) else ""
            if name in seen:
                about, found = f"{variable}[{index}].name", f"{name!r}, as of {variable}[{seen[name]}]"
                problems.append(wrong(about, found, "a name of its own", f"{reason} Change or remove one of them."))
            if name:
                seen.setdefault(name, index)
    return problems


def check_owners(roles: t.Collection[str], values: Values) -> list[Problem]:
    """Databases for users that nothing makes. In a database that is not ours, they may be there already."""
    users, databases = values.get("postgres_users"), values.get("postgres_databases")
    if "postgres" not in roles or not isinstance(users, list) or not isinstance(databases, list):
        return []
    known = [str(user.get("name")) for user in users if isinstance(user, Mapping)]
    known += [str(values["postgres_login_user"])] if values.get("postgres_login_user") else []
    owners = [database.get("owner") if isinstance(database, Mapping) else None for database in databases]
    level: Level = "warning" if values.get("postgres_runtime") == "external" else "error"
    return [
        wrong(
            f"postgres_databases[{index}].owner",
            describe(owner),
            f"a user that postgres_users declares, or postgres_login_user: {' or '.join(known)}",
            "Correct it, or add it to postgres_users.",
            level,
        )
        for index, owner in enumerate(owners)
        if isinstance(owner, str) and owner and owner not in known
    ]


def check_databases(roles: t.Collection[str], values: Values) -> list[Problem]:
    """Two stores in one database, which have tables of the same names, and a server that logs in as the superuser."""
    if "temporal" not in roles:
        return []
    problems = []
    name, user = values.get("temporal_database_name"), values.get("temporal_database_user")
    if name and name == values.get("temporal_visibility_database_name"):
        about, found = "temporal_visibility_database_name", f"{describe(name)}, as temporal_database_name"
        problems.append(wrong(about, found, "a database of its own", "Change one of them."))
    ours = "postgres" in roles and values.get("postgres_runtime") != "external"
    # postgres itself is no name for it in any case.
    if ours and user not in (None, "postgres") and user == values.get("postgres_login_user"):
        found = f"{describe(user)}, as postgres_login_user"
        step = "The server's data would belong to whoever may do everything. Change one of them."
        problems.append(wrong("temporal_database_user", found, "a user of its own", step))
    return problems


def _check_step(component: Component, values: Values, container: Mapping[str, t.Any]) -> Iterator[Problem]:
    running = re.search(r":v?(\d+(?:\.\d+)*)", str(container["image"]).rpartition("/")[2])
    wanted = str(values.get(component.version) or "")
    if not running or not wanted:
        return
    if component.role == "postgres" and running[1].split(".")[0] != wanted.split(".", maxsplit=1)[0]:
        yield wrong(
            component.version,
            describe(values[component.version]),
            f"{running[1].split('.')[0]}, the major version whose data is on this host",
            "PostgreSQL cannot open the data of another major version: dump it and restore it into the new one.",
        )
    if component.role == "temporal":
        try:
            reason = versions.next_minor_allowed(running[1], wanted)
        except ValueError:
            return
        if reason:
            yield Problem(component.version, f"{component.version} is {wanted}: {reason}")


# Releases


def check_versions(roles: t.Collection[str], values: Values) -> list[Problem]:
    """A release of the server that must not be used or is no version."""
    if "temporal" not in roles or not values.get("temporal_version"):
        return []
    version = str(values["temporal_version"])
    try:
        reason = versions.is_bad(version)
        known = versions.is_known(version)
    except ValueError as error:
        return [Problem("temporal_version", f"temporal_version: {error} Set temporal_version.")]
    if reason:
        return [Problem("temporal_version", f"temporal_version is {version}: {reason}")]
    if not known:
        newest = max(versions.MINORS)
        return [
            wrong(
                "temporal_version",
                version,
                f"a release up to {newest[0]}.{newest[1]}, the newest that this collection knows",
                "Schema levels and pairs of newer ones are not checked.",
                "warning",
            )
        ]
    return []


def check_pair(temporal: t.Any, postgres: t.Any) -> list[Problem]:
    """A pair of releases that is not supported."""
    if not temporal or not postgres:
        return []
    reason = versions.check_pair(str(temporal), str(postgres))
    return [Problem("postgres_version", f"postgres_version is {postgres}: {reason}")] if reason else []


# The host


def check_system(roles: t.Collection[str], probe: Probe) -> list[Problem]:
    """An operating system, a processor or a Python that is not supported, and an account that may not change the host."""
    system = probe.get("os") or {}
    problems = []
    if roles and not probe.get("privileged"):
        step = "Set ansible_become: true, or ansible_user to root."
        problems.append(wrong("the account on the host", "not root", "root, or one that becomes it", step))
    supported = SUPPORTED_SYSTEMS.get(system.get("id", ""), ())
    if system.get("version") not in supported:
        names = ", ".join(f"{name.capitalize()} {' or '.join(of)}" for name, of in SUPPORTED_SYSTEMS.items())
        found = system.get("name") or "unknown"
        problems.append(wrong("the operating system", found, names, "Use a host with one of these."))
    if probe.get("architecture") not in SUPPORTED_ARCHITECTURES:
        problems.append(
            wrong("the processor", str(probe.get("architecture")), f"one of {', '.join(SUPPORTED_ARCHITECTURES)}")
        )
    python = str(probe.get("python", ""))
    if tuple(int(p) for p in re.findall(r"\d+", python)[:2]) < OLDEST_PYTHON:
        problems.append(
            wrong(
                "Python",
                python or "unknown",
                f"{'.'.join(map(str, OLDEST_PYTHON))} or newer",
                "Set ansible_python_interpreter to one.",
            )
        )
    if not probe.get("systemd") and roles:
        problems.append(wrong("the init system", "not systemd", "systemd", "Use a host that systemd runs."))
    return problems


def check_node(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """A Node.js that is too old for the applications. Another one on the host comes after it in the path."""
    system = probe.get("os") or {}
    has = NODE_OF_SYSTEMS.get(f"{system.get('id')} {system.get('version')}", OLDEST_NODE)
    problems = _check_node_of_systemd(values, probe, has) if "systemd_worker" in roles else []
    if "pm2_worker" not in roles:
        return problems
    variable, source = "pm2_worker_node_source", values.get("pm2_worker_node_source")
    if source in VERSION_OF_NODE:
        version = str(values.get(VERSION_OF_NODE[source]) or "")
        major = _number(version.partition(".")[0])
        if major is None or major >= OLDEST_NODE:
            return problems
        return [*problems, wrong(VERSION_OF_NODE[source], version, f"{OLDEST_NODE} or newer", "Choose a later one.")]
    if source != "distribution" or max(has, _installed_node(probe)) >= OLDEST_NODE:
        return problems
    found = f"distribution, and {system.get('name')} has Node.js {has}"
    step = f"Set {variable}: nodesource, or controller."
    return [*problems, wrong(variable, found, f"Node.js {OLDEST_NODE} or newer", step)]


def _installed_node(probe: Probe) -> int:
    """The major version of the package nodejs of the host, whoever has built it; 0 without one."""
    there = re.search(r"^nodejs\t[^\t]*\tinstalled\t(\d+)\.", str(probe.get("dpkg") or ""), re.MULTILINE)
    return int(there[1]) if there else 0


def _check_node_of_systemd(values: Values, probe: Probe, has: int) -> list[Problem]:
    """Applications under systemd whose packages npm installs: they have the Node.js of the host's packages."""
    there = _installed_node(probe)
    version = there or has
    named = [
        str(application.get("name"))
        for application in normalised(applications(values))
        if application["runtime"] == "systemd"
        and application["dependencies"] == "npm"
        # One that somebody has put below /opt is theirs to know.
        and not all(process["command"][0].startswith("/opt/") for process in application["processes"])
    ]
    if version >= OLDEST_NODE or not named:
        return []
    found = f"Node.js {version}, that of {'the package nodejs on the host' if there else 'the distribution'}"
    about = f"the Node.js of the application {named[0]}"
    step = f"Install a package nodejs of {OLDEST_NODE} or newer on the host first, or set its runtime to pm2."
    return [wrong(about, found, f"{OLDEST_NODE} or newer", step)]


def check_engine(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """A container engine that is too old, has no Compose v2, or would be replaced although it is somebody else's.

    Options for one that is left as it is get a warning.
    """
    engine, needed = probe.get("engine"), ("docker_source", *engine_.OPTIONS)
    if "docker" not in roles or not engine or any(values.get(name) is None for name in needed):
        return []
    system, wanted = probe.get("os") or {}, engine_.daemon(values)
    release = f"{system.get('id')}-{system.get('version')}"
    as_it_is, reason = engine_.judge(str(values["docker_source"]), engine, release, wanted)
    if reason:
        return [Problem("docker_source", reason)]
    variable, declared = "docker_daemon_options", values["docker_daemon_options"]
    if not as_it_is or engine_.digests(declared).items() <= (engine["settings"] or {}).items():
        return []
    found = f"{', '.join(sorted(declared))}, and the engine on the host is somebody else's"
    step = f"Set it in {engine_.SETTINGS} yourself, or remove {variable}."
    return [wrong(variable, found, "nothing, because such an engine is left as it is", step, "warning")]


def check_engine_users(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """Accounts that somebody has made and that become users of the engine, which is as much as being root; and misspelt ones,
    which would be made and get as much.
    """
    users = values.get("docker_users") if "docker" in roles else None
    known, members = probe.get("accounts") or {}, probe.get("engine_users") or ()
    unknown = [
        wrong(
            "docker_users",
            f"a list with {user}, and the host has no such account",
            "accounts that are there, and the deploy user",
            "Correct it, or make the account first: whoever is in it can do as much as root.",
        )
        for user in users or ()
        if user in (probe.get("unknown") or {}).get("users", ()) and user != values.get("host_deploy_user")
    ]
    return unknown + [
        wrong(
            f"the account {user}",
            "on the host already, and becomes a member of the group docker, which is as much as root",
            "an account that may",
            "Choose another one (topology_deploy_user or docker_users), if it may not.",
            "warning",
        )
        for user in users or ()
        if user in known and user not in members and user != "root"
    ]


def check_groups(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """Groups that the deploy user is to join and that the host does not have."""
    wanted = values.get("host_deploy_groups") if "host" in roles else None
    unknown = (probe.get("unknown") or {}).get("groups", ())
    step = "Correct it, or make the group first (groupadd)."
    return [
        wrong(
            "host_deploy_groups", f"a list with {group}, and the host has no such group", "groups that are there", step
        )
        for group in wanted or ()
        if group in unknown
    ]


def check_settings(roles: t.Collection[str], values: Values) -> list[Problem]:
    """Settings of PostgreSQL with which nothing could be asked any more."""
    settings = values.get("postgres_custom_config") if "postgres" in roles else None
    told = [too_short(str(name), value) for name, value in settings.items()] if isinstance(settings, Mapping) else []
    return [Problem("postgres_custom_config", f"postgres_custom_config: {text}.") for text in told if text is not None]


# Variables of the UI server that follow from options of its role, which would no longer count.
OF_THE_UI = {
    "TEMPORAL_ADDRESS": "temporal_ui_temporal_address",
    "TEMPORAL_UI_PORT": "temporal_ui_port",
    "TEMPORAL_DEFAULT_NAMESPACE": "temporal_ui_default_namespace",
    "TEMPORAL_CORS_ORIGINS": "temporal_ui_cors_origins",
    "TEMPORAL_CSRF_COOKIE_INSECURE": "temporal_ui_cookie_insecure",
    "TEMPORAL_DISABLE_WRITE_ACTIONS": "temporal_ui_write_actions",
}


def check_ui_environment(roles: t.Collection[str], values: Values) -> list[Problem]:
    """Variables of the UI that have an option of their own."""
    given = values.get("temporal_ui_environment") if "temporal_ui" in roles else None
    return [
        wrong(f"temporal_ui_environment.{name}", "set", f"the option {option}", "Remove it, and set the option.")
        for name, option in OF_THE_UI.items()
        if isinstance(given, Mapping) and name in given
    ]


def check_data(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """A database that was made here, and whose disk is not mounted now: another one would be begun in its place."""
    directory, variable = str(values.get("postgres_data_directory") or ""), "postgres_data_directory"
    if "postgres" not in roles or values.get("postgres_runtime") != "container":
        return []
    mark = probe.get("lost_data", {}).get(f"{plain(directory)}/PG_VERSION")
    if not mark:
        return []
    found = f"{directory}, where a database was made, and there is none now"
    step = f"Mount its disk, or restore it. To begin with an empty database, remove {mark} on the host."
    return [wrong(variable, found, "its data", step)]


def check_addresses(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """Addresses to listen on that the host does not have. What could not be read of the host is not judged."""
    variables = [component.bind for component in components(roles, values)]
    variables += [f"{role}_bind_address" for role in ("docker", "systemd_worker") if role in roles]
    has = [ipaddress.ip_network(address, strict=False) for address in probe.get("addresses") or ()]
    wrongly = [name for name in variables if not _can_listen(str(values.get(name) or ""), has)]
    # What follows from an option of the wiring is told once, by its name.
    wired = {str(values[name]): name for name in ("topology_address", "topology_bind_address") if values.get(name)}
    told = dict.fromkeys((wired.get(str(values[name]), name), str(values[name])) for name in wrongly)
    shown = ", ".join(["127.0.0.1", *_shown(has)])
    step = "On several hosts, set topology_address to the one that the others reach."
    return [wrong(name, f"{address}, which the host does not have", f"one of {shown}", step) for name, address in told]


def _can_listen(text: str, has: Sequence[Network]) -> bool:
    """Whether the host has an address, or may have it as far as is known."""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return True  # told as a value of another kind
    known = [network for network in has if network.version == address.version]
    return not known or address.is_unspecified or address.is_loopback or any(address in network for network in known)


def _shown(has: Sequence[Network]) -> list[str]:
    """Addresses that people would choose among."""
    single = [network.network_address for network in has if network.num_addresses == 1]
    return [str(address) for address in single if not address.is_loopback and not address.is_link_local]


def check_ipv6(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """A kernel without IPv6, on which nginx cannot open its sockets."""
    if "nginx" not in roles or not values.get("nginx_ipv6") or probe.get("ipv6", True):
        return []
    return [wrong("nginx_ipv6", "true, and the kernel has no IPv6", "false", "Set nginx_ipv6: false.")]


def check_firewall(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """A firewall of the host that keeps away those who are to come in. It is not ours to change, and what a container
    publishes passes it by.
    """
    firewall = probe.get("firewall") or {}
    name, allowed = firewall.get("name"), firewall.get("allowed")
    if not name or not probe.get("privileged"):
        return []
    sites = values.get("nginx_sites") if "nginx" in roles else None
    # The UI is for those whom nginx_ui_allow names, or comes through a tunnel.
    public = [site for site in sites or () if isinstance(site, Mapping) and site.get("kind") != "ui"]
    wanted = {number for site in public for _variable, number in _site_ports(site, values)}
    if values.get("topology_application_bind_address") not in (None, "", "127.0.0.1", "localhost", "::1"):
        wanted |= {port.number for port in ports(roles, values) if port.component.startswith("application ")}
    closed = [
        str(number)
        for number in sorted(wanted - {0})
        if not any(first <= number <= last for first, last in allowed or ())
    ]
    if not closed:
        return []
    listed = " and ".join(closed)
    found = (
        f"active, and does not let in port {listed}" if allowed is not None else "active, and its rules were not read"
    )
    command = f"ufw allow {closed[0]}/tcp" if name == "ufw" else f"firewall-cmd --permanent --add-port={closed[0]}/tcp"
    step = f"Let it in (such as {command}); this collection changes no firewall."
    return [
        wrong(f"the firewall {name}", found, f"port {listed} to be let in from where requests come", step, "warning")
    ]


def check_temporal_command(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """Somebody else's command where ours is called. It is not replaced."""
    command, variable = probe.get("temporal_command"), "temporal_client_command"
    if "temporal_client" not in roles or not command or not values.get(variable):
        return []
    remedy = (
        f"Remove it, or set {variable}: false; /opt/durable-temporal/bin/temporal is then ours, without an address."
    )
    return [wrong(variable, f"true, and {command} is somebody else's", "no command temporal, or ours", remedy)]


def check_pm2(roles: t.Collection[str], values: Values, probe: Probe) -> list[Problem]:
    """Somebody else's PM2 where ours is called, and files where links to our logs belong. Neither is replaced."""
    if "pm2_worker" not in roles:
        return []
    seen = probe.get("pm2") or {}
    problems = []
    if seen.get("command") and values.get("pm2_worker_command"):
        found = f"true, and {seen['command']} is somebody else's"
        remedy = (
            "Remove it (npm uninstall --global pm2), or set pm2_worker_command: false; NAME-pm2 is then the command."
        )
        problems.append(wrong("pm2_worker_command", found, "no command pm2, or ours", remedy))
    for path in seen.get("foreign") or ():
        remedy = "Move it away: PM2 and Node.js of this collection lie there."
        problems.append(wrong("/opt/pm2", f"somebody else's: it has {path}", "none, or ours", remedy))
    named = {
        str(p.get("name")) for a in applications(values) if a.get("runtime", "pm2") == "pm2" for p in _processes(a)
    }
    for file in seen.get("logs") or ():
        if any(file in (f"{name}-out.log", f"{name}-error.log") for name in named):
            found = f"{file.rpartition('-')[0]}, and /var/log/pm2/{file} is a file of another PM2"
            problems.append(wrong("the name of a process", found, "no such file", "Move the file away."))
    return problems


def check_programs(roles: t.Collection[str], probe: Probe) -> list[Problem]:
    """A file system on which no program can be run, where ours and those of applications are to lie."""
    if not {*roles} & {*APPLICATION_ROLES, "temporal_client"}:
        return []
    return [
        wrong(
            f"the file system of {disk['path']}",
            "mounted with noexec",
            "one on which programs can be run, as those of applications lie there",
            f"Mount {disk['at']} without noexec, or choose a topology_root elsewhere.",
        )
        for disk in probe.get("disks", ())
        # Below /var there is data only.
        if disk.get("noexec") and related(str(disk["path"]), "/var") not in ("is", "lies in")
    ]


def check_room(probe: Probe, size: t.Any, stores_data: bool) -> list[Problem]:
    """Too little room, memory or processors for the size, and a clock that is wrong.

    :param size: ``small``, ``medium`` or ``large``.
    :param stores_data: whether the database or the server run here, which is what sizes are about.
    """
    problems = []
    for disk in {d["at"]: d for d in probe.get("disks", ())}.values():
        free = int(disk["free_mb"])
        if free < ROOM_TO_WORK_MB:
            problems.append(
                wrong(
                    f"the room at {disk['path']}",
                    f"{free} MiB",
                    f"{ROOM_TO_WORK_MB} MiB or more",
                    "PostgreSQL stops when its disk is full: make room first.",
                    "error" if free < ROOM_TO_START_MB else "warning",
                )
            )
    if stores_data and size in SIZES and probe.get("memory_mb"):
        cpus, gib = SIZES[size]
        # A machine sold as 8 GiB shows about 7.7: the kernel keeps some.
        if probe["memory_mb"] < gib * 1024 * 0.85 or probe.get("cpus", cpus) < cpus:
            problems.append(
                wrong(
                    "topology_size",
                    f"{size}, and the host has {probe.get('cpus')} processors and {probe['memory_mb'] / 1024:.1f} GiB",
                    f"{cpus} processors and {gib} GiB",
                    "Choose a smaller size or a larger host.",
                    "warning",
                )
            )
    ahead = probe.get("clock_ahead_seconds") or 0
    if abs(ahead) > CLOCK_SECONDS:
        found = f"{abs(ahead):.0f} seconds {'ahead' if ahead > 0 else 'behind'}"
        step = "Let chrony or systemd-timesyncd set it."
        problems.append(wrong("the clock", found, "the controller's time", step, "warning"))
    return problems


# Applications and namespaces


def check_applications(
    declared: Sequence[Mapping[str, t.Any]],
    taken: Mapping[str, str] | None = None,
    broken: t.Collection[int] = (),
) -> list[Problem]:
    """Applications that would overwrite each other, or that cannot work as they are declared.

    :param taken: the platform's own directories on the host, by variable.
    :param broken: those with a wrong option, which has been told.
    """
    problems = check_roots(declared, taken or {})
    for field in ("name", "port"):
        seen: dict[str, int] = {}
        for index, application in enumerate(declared):
            value = application.get(field)
            if value is None:
                continue
            if str(value) in seen:
                problems.append(
                    wrong(
                        f"topology_applications[{index}].{field}",
                        f"{describe(value)}, as of topology_applications[{seen[str(value)]}]",
                        f"a {field} of its own",
                        "Change one of them.",
                    )
                )
            seen.setdefault(str(value), index)
    for index, application in enumerate(declared):
        if index in broken:
            continue
        try:
            normalise(application)
        except (InvalidApplication, ValueError, TypeError) as error:
            problems.append(Problem(f"topology_applications[{index}]", str(error)))
    together = (_check_units, _check_candidates, _check_told_twice, _check_hand_over, _check_health_urls, _check_queues)
    return [*problems, *(problem for check in together for problem in check(declared))]


def _check_health_urls(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Applications whose health is asked of another one, which answers for it whatever it does."""
    problems = []
    ports = {str(one["port"]): str(one.get("name")) for one in declared if one.get("port")}
    for index, application in enumerate(declared):
        url = str(application.get("health_url") or "")
        found = re.match(r"https?://(?:localhost|127\.[0-9.]+|\[::1\]):([0-9]+)(?:/|$)", url)
        other = ports.get(found[1]) if found else None
        if found and other not in (None, str(application.get("name"))) and found[1] != str(application.get("port")):
            about, step = f"topology_applications[{index}].health_url", "Correct its port."
            problems.append(wrong(about, f"{url}, which is the port of {other}", "a URL of its own", step))
    return problems


def _check_queues(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Task queues that an application has twice: its pollers would be counted twice."""
    problems = []
    for index, application in enumerate(declared):
        queues = application.get("task_queues")
        names = [str(queue) for queue in queues] if isinstance(queues, list) else []
        for name in sorted({one for one in names if names.count(one) > 1}):
            about = f"topology_applications[{index}].task_queues"
            problems.append(wrong(about, f"a list with {name} twice", "each task queue once", "Remove one of them."))
    return problems


def _check_hand_over(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Applications with a port that two releases cannot share: one ends before the next one listens."""
    problems = []
    for index, application in enumerate(declared):
        systemd = application.get("runtime") == "systemd"
        shares = [p.get("socket") if systemd else p.get("exec_mode") == "cluster" for p in _processes(application)]
        if application.get("port") and shares and not any(shares):
            expected = "socket: true" if systemd else "exec_mode: cluster"
            found = f"that of processes without {expected}, so that requests between two releases are answered 502"
            step = "Set it for the process that listens; see docs/applications.md."
            problems.append(
                wrong(f"topology_applications[{index}].port", found, f"one with {expected}", step, "warning")
            )
    return problems


# Variables that follow from an option of an application, and that one of its environment would replace.
FROM_OPTIONS = {"PORT": "port", "TEMPORAL_NAMESPACE": "namespace", "TEMPORAL_TASK_QUEUE": "task_queues"}


def _check_told_twice(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Variables of all processes that say something else than the option that they follow from: the edge, the namespace
    and the pollers go by the option. A single process may have another value.
    """
    problems = []
    for index, application in enumerate(declared):
        environment = application.get("environment")
        if not isinstance(environment, Mapping):
            continue
        for name, option in FROM_OPTIONS.items():
            value, said = environment.get(name), application.get(option)
            fitting = [str(one) for one in (said if isinstance(said, list) else [said]) if one]
            # What refers to a secret is not known here.
            if value is not None and fitting and str(value) not in fitting and not str(value).startswith("@"):
                about, found = f"topology_applications[{index}].environment.{name}", f"another one than {option} says"
                step = f"Take it out: it follows from {option}."
                problems.append(wrong(about, found, " or ".join(fitting), step))
    return problems


def check_environments(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Values that systemd would not take. PM2 keeps its environment in JSON, which holds everything."""
    problems = []
    for index, application in enumerate(declared):
        places = {f"topology_applications[{index}].environment": application.get("environment")}
        for number, process in enumerate(_processes(application)):
            places[f"topology_applications[{index}].processes[{number}].environment"] = process.get("environment")
        for place, environment in places.items() if application.get("runtime") == "systemd" else ():
            for name, value in environment.items() if isinstance(environment, Mapping) else ():
                # A NUL is told for all of them.
                if isinstance(value, str) and "\0" not in value and CONTROL.search(value):
                    about, found = f"{place}.{name}", "a text with a control character"
                    step = "Systemd does not take such. Write lines with a line feed only, or encode it, such as in base64."
                    problems.append(wrong(about, found, "text without one", step))
    return problems


# Options with variables for every process → the runtimes whose processes get them.
RELEASED = "app_release_environment"
BASES = {
    "pm2_worker_environment": ("pm2",),
    "systemd_worker_environment": ("systemd",),
    RELEASED: ("pm2", "systemd"),
}


def check_bases(declared: Sequence[Mapping[str, t.Any]], values: Values) -> list[Problem]:
    """Variables for every process with names that what runs the processes has for something else, and those that processes
    get from one playbook and not from the other. Those of applications are told with what they declare.
    """
    problems: dict[str, Problem] = {}
    environments = {option: found for option in BASES if isinstance(found := values.get(option), Mapping)}
    for option, environment in environments.items():
        for application in (a for a in declared if a.get("runtime", "pm2") in BASES[option]):
            names = [str(process.get("name")) for process in _processes(application)]
            for name, value in environment.items():
                owner = "" if value is None else reserved(application, str(name), names)
                about, whose = f"{option}.{name}", f"for the application {application.get('name')}"
                if owner:
                    step = "Rename the variable, or take it out."
                    found = f"a variable {whose}, {owner}"
                    problems.setdefault(about, wrong(about, found, "another name", step))
    released = environments.get(RELEASED)
    for runtime in sorted({str(a.get("runtime", "pm2")) for a in declared}):
        own, option = environments.get(f"{runtime}_worker_environment"), f"{runtime}_worker_environment"
        if released is not None and own is not None and released != own:
            differ = sorted(
                str(n) for n in {*released, *own} if released.get(n) != own.get(n) or (n in own) != (n in released)
            )
            found = f"another than {RELEASED} in {', '.join(differ)}"
            expected = "the same in both, as site and deploy start the same processes, and would undo each other"
            step = "Set both alike. What npm alone needs belongs to npm_environment of the application."
            problems[option] = wrong(option, found, expected, step)
    return list(problems.values())


def _check_units(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Units of two applications with one name: ``shop`` with a process ``a-b``, and ``shop-a`` with a process ``b``."""
    problems = []
    seen: dict[str, tuple[str, str]] = {}
    for index, application in enumerate(declared):
        name = str(application.get("name"))
        for unit, what in _unit_names(application, name).items():
            owner, other = seen.setdefault(unit, (name, what))
            if owner != name:
                found = f"{unit}, for {what} and for {other}"
                about = f"the name of the units of topology_applications[{index}]"
                step = "Give one of the applications or processes another name."
                problems.append(wrong(about, found, "a name that no other application's units have", step))
    return problems


def _unit_names(application: Mapping[str, t.Any], name: str) -> dict[str, str]:
    """What the units of an application are called, up to ``@`` or ``.`` → what runs in them."""
    if application.get("runtime") == "systemd":
        names = [str(process.get("name")) for process in _processes(application)]
        return {f"{name}-{process}": f"process {process} of the application {name}" for process in names}
    return {f"{name}-pm2": f"PM2 of the application {name}"}


def _check_candidates(declared: Sequence[Mapping[str, t.Any]]) -> list[Problem]:
    """Processes that PM2 would have under the name of a candidate, which every deployment takes away."""
    problems = []
    for index, application in enumerate(declared):
        names = [str(process.get("name")) for process in _processes(application)]
        for name in names if application.get("runtime") != "systemd" else ():
            if name.endswith(CANDIDATE):
                about = f"the name of a process of topology_applications[{index}]"
                found = f"{name} of the application {application.get('name')}, as of a candidate, which is deleted"
                problems.append(wrong(about, found, f"a name that does not end in {CANDIDATE}", "Choose another."))
    return problems


def check_artifacts(
    declared: Sequence[Mapping[str, t.Any]],
    missing: Mapping[str, str],
    deployed: t.Collection[str] | None = None,
) -> list[Problem]:
    """Applications whose artifact is not there.

    :param missing: artifact as declared → the absolute path at which there is no file.
    :param deployed: names of those that are about to be deployed, and need one. Without it, hosts are prepared, which is
        possible before there is a build.
    """
    problems = []
    for index, application in enumerate(declared):
        name, artifact = str(application.get("name")), application.get("artifact")
        about, expected = f"topology_applications[{index}].artifact", f"a file made by the build of {name}"
        if deployed is not None and name not in deployed:
            continue
        if "://" in str(artifact or ""):
            step = "Download it first, and name the file."
            problems.append(wrong(about, "an address", f"{expected}, on the controller", step))
        elif artifact and str(artifact) in missing:
            found = f"{describe(artifact)}, and there is no file {missing[str(artifact)]} on the controller"
            step = "Build it, or correct the path; a relative one begins where ansible-playbook is run."
            problems.append(wrong(about, found, expected, step, "warning" if deployed is None else "error"))
        elif deployed is not None and not artifact:
            step = "Set it, or name another application with -e deploy_application=NAME."
            problems.append(wrong(about, "not set", expected, step))
    return problems


def namespaces_of(declared: Sequence[Mapping[str, t.Any]]) -> dict[str, str]:
    """Application that uses the platform's cluster → its namespace; empty when it polls and names none."""
    return {
        str(a.get("name")): str(a.get("namespace") or "")
        for a in declared
        if (a.get("namespace") or a.get("task_queues")) and not a.get("temporal_address")
    }


def check_namespaces(
    variable: str, declared: t.Any, wanted: t.Mapping[str, str] | None = None, ours: bool = True
) -> list[Problem]:
    """Namespaces that are declared twice, have no such retention, or that an application uses and nobody declares.

    :param variable: the variable that declares them.
    :param wanted: application → its namespace, as :func:`namespaces_of` returns it.
    :param ours: whether the cluster is this platform's, which has the declared namespaces and no others.
    """
    if not isinstance(declared, list):
        return []
    problems = []
    names: list[str] = []
    for index, namespace in enumerate(n for n in declared if isinstance(n, Mapping)):
        name, retention = str(namespace.get("name", "")), namespace.get("retention")
        if name in names or name == SYSTEM_NAMESPACE:
            found = f"{name!r} for the second time" if name in names else f"{name!r}, which is the server's own"
            expected, step = "each namespace once, and only yours", "Merge them, or take it out."
            problems.append(wrong(f"{variable}[{index}].name", found, expected, step))
        names.append(name)
        if retention is not None and _seconds(retention) < SHORTEST_RETENTION_SECONDS:
            problems.append(
                wrong(
                    f"{variable}[{index}].retention",
                    describe(retention),
                    "a duration of one hour or more, such as 7d or 72h",
                    f"Correct the retention of {name}.",
                )
            )
    for application, name in (wanted or {}).items():
        if (name or "default") not in names:
            # Whether a program goes by the SDK's default, and whether others have made a namespace, is not known.
            level: Level = "error" if name and ours else "warning"
            known = ", ".join(names) or "the declared ones"
            step = f"Correct it, or add it to {variable}."
            found = repr(name) if name else "not set, which the SDK takes for 'default'"
            about = f"the namespace of the application {application}"
            problems.append(wrong(about, found, f"one of {known}", step, level))
    return problems


def _seconds(duration: t.Any) -> int:
    try:
        return parse_duration(str(duration))
    except ValueError:
        return 0


# Several hosts together


@dataclass(frozen=True)
class Host:
    """What is known of one host when all are judged together. ``values`` are those of :data:`SHARED` that it has."""

    name: str
    roles: Sequence[str]
    values: Values


SHARED = (
    "postgres_bind_address",
    "postgres_max_connections",
    "postgres_port",
    "postgres_reserved_connections",
    "postgres_runtime",
    "postgres_version",
    "temporal_bind_address",
    "temporal_database_max_connections",
    "temporal_history_shards",
    "temporal_version",
    "temporal_visibility_database_max_connections",
)


def check_together(hosts: Sequence[Host]) -> list[tuple[str, Problem]]:
    """Problems that only show when hosts are compared, each with the host to name."""
    servers = [h for h in hosts if "temporal" in h.roles]
    databases = [h for h in hosts if "postgres" in h.roles]
    problems: list[tuple[str, Problem]] = []
    for server in servers:
        for variable in ("temporal_history_shards", "temporal_version"):
            ours, first = server.values.get(variable), servers[0].values.get(variable)
            if str(ours) != str(first):
                problem = wrong(
                    variable, str(ours), f"{first} as on {servers[0].name}", "All hosts of a cluster need the same."
                )
                problems.append((server.name, problem))
    for database in databases:
        if servers:
            pair = check_pair(servers[0].values.get("temporal_version"), database.values.get("postgres_version"))
            problems += [(database.name, problem) for problem in pair]
    if databases and servers:
        problems += [(databases[0].name, p) for p in check_budget(databases[0].values, [s.values for s in servers])]
    return problems


def published(roles: t.Collection[str], values: Values, own_sites: bool) -> dict[str, list[str]]:
    """What a host has to do with the edge: names of applications that it ``serves``, and of ``sites`` that it has.

    :param own_sites: whether its sites are written by hand, so that their names mean nothing.
    """
    sites = values.get("nginx_sites")
    serves = [str(a.get("name")) for a in applications(values) if a.get("port")]
    found = {"serves": serves} if APPLICATION_ROLES & set(roles) else {}
    if isinstance(sites, list) and not own_sites:
        found["sites"] = [str(site.get("name")) for site in sites if isinstance(site, Mapping)]
    return found


def check_edges(hosts: Sequence[Host]) -> list[tuple[str, Problem]]:
    """Applications that an edge does not know, because its variables say something else than those of their hosts."""
    problems: dict[str, tuple[str, Problem]] = {}
    for edge in (host for host in hosts if "nginx" in host.roles and "sites" in host.values):
        for host in hosts:
            for name in sorted({*host.values.get("serves", ())} - {*edge.values["sites"]}):
                found = f"without {name}, which {host.name} has"
                step = "Declare applications for all hosts, in group_vars/all; or list the site in nginx_sites of the edge."
                problem = wrong("topology_applications", found, "the applications whose ports it publishes", step)
                problems.setdefault(f"{edge.name} {name}", (edge.name, problem))
    return list(problems.values())


def check_members(groups: Mapping[str, Sequence[str]]) -> list[tuple[str, Problem]]:
    """Groups of which a platform can have one host only."""
    problems = []
    for group, what in LONE.items():
        members = list(groups.get(group) or [])
        if len(members) > 1:
            step = f"Leave one of them in the group {group}."
            expected = f"one host: {what} on several hosts is not supported yet"
            problems.append((members[1], wrong(f"the group {group}", " and ".join(members), expected, step)))
    return problems


# Group → what runs on its host. Several servers would have to find each other, and a second database nobody would use.
LONE = {"postgres": "PostgreSQL", "temporal": "the Temporal server"}


def check_reach(hosts: Sequence[Host]) -> list[tuple[str, Problem]]:
    """Services that listen on loopback, although other hosts need them."""
    users = {"postgres_bind_address": {"temporal"}, "temporal_bind_address": {"app", "pm2_worker", "systemd_worker"}}
    problems = []
    for host in hosts:
        for variable, roles in users.items():
            role, address = variable.partition("_")[0], str(host.values.get(variable) or "")
            others = [other.name for other in hosts if other.name != host.name and roles & set(other.roles)]
            if role in host.roles and others and _plain(address).startswith("127."):
                step = f"Remove {variable}, or set it to an address that these hosts reach."
                found = f"{address}, and {', '.join(others)} must reach it"
                problems.append(
                    (host.name, wrong(variable, found, "an address of the network between the hosts", step))
                )
    return problems


def check_budget(database: Values, servers: Sequence[Values]) -> list[Problem]:
    """Whether the pools of all servers fit into the connections of the database.

    Every server process opens up to one pool of each store for each of its four roles.
    """
    limit, reserved = _number(database.get("postgres_max_connections")), database.get("postgres_reserved_connections")
    if limit is None:
        return []
    pools = [
        SERVER_ROLES
        * (
            (_number(s.get("temporal_database_max_connections")) or 0)
            + (_number(s.get("temporal_visibility_database_max_connections")) or 0)
        )
        for s in servers
    ]
    needed, kept = sum(pools), _number(reserved) or 0
    if needed + kept <= limit:
        return []
    return [
        wrong(
            "postgres_max_connections",
            f"{limit}",
            f"{needed + kept} or more: {len(pools)} Temporal server{'s' if len(pools) > 1 else ''} may open {needed} "
            f"connections (four roles, a pool for each store), and {kept} are reserved",
            "Raise postgres_max_connections, or lower temporal_database_max_connections or "
            "temporal_visibility_database_max_connections.",
        )
    ]


def _number(value: t.Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


# What will be deployed


def summary(roles: t.Collection[str], values: Values, probe: Probe) -> list[dict[str, str]]:
    """One row for each component of a host: ``component``, ``version``, ``runtime``, ``ports``, ``present``."""
    present = {str(c["name"]): c for c in probe.get("containers", ())}
    wanted = ports(roles, values)
    rows = []
    for component in COMPONENTS:
        if component.role not in roles:
            continue
        runtime = str(values.get(f"{component.role}_runtime") or "container")
        container = present.get(str(values.get(component.container)))
        rows.append(
            {
                "component": component.name,
                "version": str(values.get(component.version) or ""),
                "runtime": runtime,
                "ports": _places(p for p in wanted if p.component == component.name),
                "present": _present(container) if runtime != "external" else "used as it is",
            }
        )
    if "nginx" in roles:
        held = any(one["unit"].removesuffix(".service") == "nginx" for one in probe.get("listeners", ()))
        places = _places(p for p in wanted if p.component == "nginx")
        rows.append(_row("nginx", "distribution", "systemd", places, "runs" if held else "new"))
    if APPLICATION_ROLES & set(roles):
        for application in applications(values):
            name = str(application.get("name"))
            number, units = _port(application.get("port")), set(_application_units(application, name))
            held = any(one["port"] == number and _ours(one, (), units) for one in probe.get("listeners", ()))
            places = _places(p for p in wanted if p.component == f"application {name}")
            runtime = str(application.get("runtime") or "pm2")
            rows.append(_row(name, "its artifact", runtime, places, "runs" if held else "new"))
    return rows


def _row(component: str, version: str, runtime: str, places: str, present: str) -> dict[str, str]:
    return {"component": component, "version": version, "runtime": runtime, "ports": places, "present": present}


def _places(wanted: t.Iterable[Port]) -> str:
    return ", ".join(f"{p.address}:{p.number}" if p.address not in _ANY else str(p.number) for p in wanted)


def _present(container: Mapping[str, t.Any] | None) -> str:
    if container is None:
        return "new"
    state = ", ".join(filter(None, (str(container["state"]), str(container["health"]))))
    return f"{str(container['image']).rpartition('/')[2]}, {state}"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """The summary of all hosts as text: one line a component, columns as wide as they need to be."""
    columns = ("host", "component", "version", "runtime", "ports", "present")
    lines = [columns, *(tuple(str(row.get(c, "")) for c in columns) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def report(problems: t.Iterable[tuple[str, Problem]], level: str) -> list[str]:
    """``host: sentence`` for each problem of that level, hosts with the same one together. An empty host is left out."""
    hosts: dict[str, list[str]] = {}
    for host, problem in problems:
        if problem.level == level and host not in hosts.setdefault(problem.text, []):
            hosts[problem.text].append(host)
    return [f"{_hosts(names)}: {text}" if any(names) else text for text, names in hosts.items() if names]


def refusal(errors: Sequence[str]) -> str:
    """One message of all problems. A failed result is printed whole, and this is what a person needs to read."""
    count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    return "\n".join((f"{count}; nothing was changed.", *("- " + line.replace("\n", "\n  ") for line in errors)))


def _hosts(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
