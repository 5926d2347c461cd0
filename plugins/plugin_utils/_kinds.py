# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of values: what a host name, an account or a path of nginx may look like, and which options are of which kind.

Private to this collection. A specification knows texts and numbers only; a text of another kind is found out by the
program that reads it, late and in its own words, or ends in a file of configuration as more than a value.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.durable.temporal.plugins.module_utils._environment import text_of
from ansible_collections.durable.temporal.plugins.plugin_utils._written import written_after


@dataclass(frozen=True)
class Kind:
    """``expected`` and ``step`` are for the sentence about a text that does not fit."""

    expected: str
    fits: Callable[[str], bool]
    step: str = ""


def _pattern(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    """An IP address. Those of version 6 have brackets: a port follows in most places."""
    try:
        if text[:1] == "[" and text[-1:] == "]":
            ipaddress.IPv6Address(text[1:-1])
        else:
            ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


# Labels of DNS names, and the underscores of names of containers.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = _pattern(rf"(?=.{{1,253}}\.?\Z){_LABEL}(\.{_LABEL})*\.?")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        # Numbers alone are no name: nobody means a host that is called 10.0.0.300.
        return _is_address(text) or (_NAME(text) and re.fullmatch(r"[0-9.]+", text) is None)
    return True


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 65536


def _is_endpoint(text: str) -> bool:
    host, _colon, port = text.rpartition(":")
    return _is_port(port) and (_is_address(host) if ":" in host else _is_host(host))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text in ("all", "unix:")
    return True


def _is_server_name(text: str) -> bool:
    """What nginx compares with the name that a client asks for; a regular expression begins with ``~``."""
    if text.startswith("~"):
        return re.fullmatch(r"~[^\s;{}\"'#]+", text) is not None
    return text == "_" or _NAME(text.removeprefix("*.").removeprefix(".").removesuffix(".*"))


def _are_server_names(text: str) -> bool:
    return bool(text.split()) and text.isprintable() and all(map(_is_server_name, text.split()))


def _is_url(text: str, path: bool = True) -> bool:
    if re.search(r"[\s\"'<>\\`{}|^]", text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = path or not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and port != 0 and plain


def _is_origin(text: str) -> bool:
    # One of them may stand for many.
    return text == "*" or _is_url(text.replace("://*.", "://"), path=False)


def _is_expression(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return bool(text)


# Configuration, units and scripts have a meaning for these, or end a word at them.
_SPECIAL = r"\s\x00-\x1f\x7f\"'`$%:;{}\\*?#&|<>()!\[\]"

ADDRESS = Kind(
    "a host and a port, such as temporal.example.com:7233",
    _is_endpoint,
    "Write neither http:// nor a path; an IPv6 address has brackets.",
)
HOST = Kind(
    "a host name or an IP address, such as db1.example.com", _is_host, "Write neither a port nor http:// with it."
)
# Docker and systemd listen on an address, not on a name.
BIND = Kind(
    "an IP address of the host, such as 127.0.0.1 or 10.0.0.5", _is_address, "An IPv6 address has brackets: [fd00::5]."
)
NETWORKS = Kind("an IP address or a network, such as 10.0.0.0/8", _is_network)
SERVER_NAME = Kind(
    "a host name such as orders.example.com, or several with blanks between",
    _are_server_names,
    "Write neither a port, nor https://, nor a path; TLS and ports have options of their own.",
)
URL = Kind("a URL such as http://127.0.0.1:3000/health", _is_url)
ORIGIN = Kind(
    "an origin such as https://temporal.example.com", _is_origin, "An origin has no path and no / at its end."
)
URL_PATH = Kind("a path such as /health", _pattern(r"/[^\s;{}\"'#$\\\x00-\x1f]*"))
NGINX_SIZE = Kind("a size such as 4m", _pattern(r"[0-9]+[kKmMgG]?"))
SITE = Kind("letters, digits, hyphens and underscores", _pattern(r"[A-Za-z0-9][A-Za-z0-9_-]*"))
DOCKER_SIZE = Kind("a size such as 10m", _pattern(r"-1|[0-9]+[bkmgBKMG]?"))
# Without a unit these are bytes; a few of them are megabytes by mistake.
PM2_SIZE = Kind("a size with its unit, such as 1G or 300M", _pattern(r"[0-9]+[GMK]|[0-9]{8,}"))
TASK_QUEUE = Kind("the name of a task queue, without a blank at an end", _pattern(r"\S([^\x00-\x1f\x7f]*\S)?"))
PM2_TIME = Kind("milliseconds, or a time such as 10s", _pattern(r"[0-9]+[hms]?"))
# Those that exist may have been made by a directory of a company: capitals and dots are fine.
ACCOUNT = Kind(
    "the name of an account, such as deploy: letters, digits, dots, hyphens and underscores, up to 32, not a number",
    _pattern(r"(?=.{1,32}\Z)[A-Za-z_][A-Za-z0-9_.-]*"),
)
OPERATOR = Kind(
    "the name of an account, such as deploy, or of a group as %operators",
    lambda text: ACCOUNT.fits(text.removeprefix("%")),
)
ENVIRONMENT_NAME = Kind(
    "the name of an environment variable, such as LOG_LEVEL: letters, digits and underscores, no digit first",
    _pattern(r"[A-Za-z_][A-Za-z0-9_]*"),
)
PROJECT = Kind("letters, digits, dots, hyphens and underscores", _pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*"))
CONTAINER = Kind(
    "the name of a container: letters, digits, dots, hyphens and underscores",
    _pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]+"),
)
# The engine's own; nothing of ours finds another container by its name in them.
_OWN_NETWORKS = ("bridge", "default", "host", "none")
DOCKER_NETWORK = Kind(
    "the name of a network for these containers, such as temporal-network",
    lambda text: text not in _OWN_NETWORKS and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text) is not None,
    f"{', '.join(_OWN_NETWORKS)} are Docker's own.",
)
IMAGE = Kind(
    "a reference such as registry.example.com/postgres:17",
    _pattern(
        r"[a-z0-9][A-Za-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?"
    ),
)
VERSION = Kind("a version such as 1.5.1", _pattern(r"v?[0-9][A-Za-z0-9.+~-]*"))
DIGEST = Kind("a SHA-256 digest of 64 hexadecimal digits", _pattern(r"[0-9A-Fa-f]{64}"))
PACKAGE = Kind(
    "the name of a package, such as jq", _pattern(r"[A-Za-z0-9][A-Za-z0-9.+_-]*(:[a-z0-9]+)?([=/][^\s;&|]+)?")
)
# On a host, a relative one begins anywhere: where the account is that logs in, or where the program has its own.
PATH = Kind(
    "an absolute path without blanks and without characters such as : % $ or quotes",
    _pattern(rf"/[^{_SPECIAL}]*"),
)
NAMESPACE = Kind(
    "the name of a namespace: letters, digits, dots, hyphens and underscores",
    _pattern(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}"),
)
LINE = Kind("one line of text", lambda text: bool(text.strip()) and re.search(r"[\x00-\x1f\x7f]", text) is None)
EXPRESSION = Kind("a regular expression", _is_expression)
# The server cuts longer names; those that begin with pg_ are its own.
_PG = r"(?!pg_)[A-Za-z_][A-Za-z0-9_$-]{0,62}"
DATABASE_USER = Kind(
    "a name of up to 63 letters, digits, hyphens and underscores that does not begin with pg_", _pattern(_PG)
)
DATABASE = Kind(
    "a name of up to 63 letters, digits, hyphens and underscores that is not one of PostgreSQL's own databases",
    _pattern(rf"(?!(template[01]|postgres)\Z){_PG}"),
)
# Schemas and users of Temporal's own database are changed as whoever owns it.
TEMPORAL_USER = Kind(
    "the name of a user of its own, such as temporal: letters, digits and underscores",
    _pattern(r"(?!(pg_|postgres\Z))[A-Za-z_][A-Za-z0-9_]{0,62}"),
    "Not postgres, which may do everything.",
)
# Some services want the name of the server with it, as admin@db1.
LOGIN = Kind("the name of a user of the database", _pattern(r"[^\s\x00-\x1f]{1,63}"))
JUDGED_ELSEWHERE = Kind("text", lambda _text: True)

# Options by their kind. What applications have is told once for all roles; a mark of interrogation: may be empty.
# A unit test compares this with the specifications: an option that is in none of these is not forgotten.
_OPTIONS: dict[Kind, str] = {
    ADDRESS: """
        topology_temporal_address topology_temporal_ui_temporal_address temporal_client_address
        temporal_ui_temporal_address app_release_temporal_address systemd_worker_temporal_address
        status_temporal_address? status_application_temporal_address applications.temporal_address?
        nginx_sites.upstream_servers""",
    HOST: """
        topology_address topology_database_host topology_database_admin_host topology_temporal_host
        topology_temporal_connection.tls_server_name? temporal_database_host temporal_database_admin_host
        postgres_login_host""",
    BIND: """
        topology_bind_address topology_application_bind_address docker_bind_address postgres_bind_address
        temporal_bind_address temporal_ui_bind_address app_release_bind_address systemd_worker_bind_address""",
    NETWORKS: "nginx_sites.allow nginx_ui_allow nginx_trusted_proxies",
    SERVER_NAME: "nginx_sites.server_name applications.server_name",
    URL: "applications.health_url? docker_vendor_repository",
    ORIGIN: "topology_temporal_ui_origins temporal_ui_cors_origins",
    URL_PATH: "nginx_sites.health_path",
    NGINX_SIZE: "nginx_sites.client_max_body_size nginx_client_max_body_size nginx_header_size",
    SITE: "nginx_sites.name",
    DOCKER_SIZE: "docker_log_max_size",
    PM2_SIZE: "applications.processes.max_memory_restart?",
    PM2_TIME: "applications.processes.min_uptime",
    ACCOUNT: "topology_deploy_user host_deploy_user host_deploy_groups docker_users",
    OPERATOR: "pm2_worker_operators",
    ENVIRONMENT_NAME: "applications.temporal_address_variables",
    PROJECT: "topology_name",
    CONTAINER: """
        topology_postgres_container postgres_container temporal_container temporal_admin_tools_container
        temporal_ui_container temporal_depends_on status_containers""",
    DOCKER_NETWORK: """
        topology_docker_network postgres_docker_network temporal_docker_network temporal_ui_docker_network""",
    IMAGE: "postgres_image",
    VERSION: """
        temporal_version temporal_ui_version temporal_client_cli_version temporal_client_sdk_version
        pm2_worker_node_version pm2_worker_npm_version pm2_worker_pm2_version""",
    DIGEST: "applications.artifact_sha256?",
    PACKAGE: "host_packages host_extra_packages",
    PATH: """
        topology_root postgres_directory postgres_data_directory postgres_ca_cert? temporal_directory
        temporal_ui_directory host_directories applications.root status_paths status_node?
        preflight_paths nginx_acme_webroot? nginx_sites.tls.certificate nginx_sites.tls.key""",
    NAMESPACE: """
        topology_namespaces.name temporal_namespaces.name temporal_client_namespace temporal_ui_default_namespace applications.namespace?""",
    LINE: """
        applications.source? applications.install_scripts applications.writable
        applications.processes.script topology_secret_names app_release_reason? status_services status_sites
        topology_namespaces.retention? topology_namespaces.description? topology_namespaces.owner_email? topology_namespaces.history_archival_uri?
        topology_namespaces.visibility_archival_uri? temporal_namespaces.retention? temporal_namespaces.description?
        temporal_namespaces.owner_email? temporal_namespaces.history_archival_uri?
        temporal_namespaces.visibility_archival_uri?""",
    TASK_QUEUE: "applications.task_queues",
    EXPRESSION: "applications.poller_identity?",
    DATABASE_USER: "postgres_users.name postgres_databases.owner",
    DATABASE: """
        temporal_database_name temporal_visibility_database_name postgres_databases.name topology_database_name
        topology_visibility_database_name""",
    TEMPORAL_USER: "temporal_database_user topology_database_user",
    LOGIN: "postgres_login_user",
    # Names and accounts of applications, and what is looked for on the controller.
    JUDGED_ELSEWHERE: """
        applications.name applications.user applications.group applications.artifact applications.replay_command
        applications.processes.name applications.processes.command applications.processes.memory_max
        applications.processes.args applications.processes.node_args
        topology_ca_certificates host_ca_certificates topology_artifact_directory postgres_artifact_directory
        temporal_artifact_directory temporal_ui_artifact_directory temporal_client_artifact_directory
        postgres_superuser_password postgres_users.password temporal_database_password
        topology_temporal_connection.tls_ca_data topology_temporal_connection.tls_cert_data
        topology_temporal_connection.tls_key_data topology_temporal_connection.api_key
        nginx_sites.tls.certificate_content nginx_sites.tls.key_content app_release_serial
        app_release_only app_release_release app_release_failures preflight_roles preflight_ignored_variables
        removal_application removal_confirm removal_hosts removal_known_applications status_namespaces
        deploy_application deploy_reason rollback_application rollback_release rollback_reason rotate_renew
        status_report remove_application remove_confirm""",
}
KINDS = {name.removesuffix("?"): kind for kind, names in _OPTIONS.items() for name in names.split()}
_MAY_BE_EMPTY = {
    name.removesuffix("?")
    for kind, names in _OPTIONS.items()
    for name in names.split()
    if name.endswith("?") or kind is JUDGED_ELSEWHERE
}
# Numbers that mean nothing, or something else, when they are zero. No number of ours is below zero.
_AT_LEAST_ONE = frozenset(
    [
        "applications.processes.instances",
        "applications.processes.start_timeout_seconds",
        "applications.processes.stop_timeout_seconds",
        "nginx_connect_timeout_seconds",
        "nginx_read_timeout_seconds",
        "nginx_keepalive_connections",
        "nginx_worker_connections",
        "postgres_health_timeout_seconds",
        "postgres_max_connections",
        "temporal_history_shards",
        "temporal_database_max_connections",
        "temporal_visibility_database_max_connections",
        "temporal_health_timeout_seconds",
        "temporal_ui_health_timeout_seconds",
        "docker_log_max_files",
        "pm2_worker_log_size_mb",
    ]
)
# MiB with which a program does not start, or is ended as soon as it works.
_AT_LEAST = {"postgres_memory_limit_mb": 256, "temporal_memory_limit_mb": 256, "temporal_ui_memory_limit_mb": 64}
# Fewer than a thousand are seconds by mistake, in which a program neither ends its work nor starts.
_MILLISECONDS = ("applications.processes.kill_timeout", "applications.processes.listen_timeout")
_AT_LEAST |= dict.fromkeys(_MILLISECONDS, 1000)
# Environments in files that have one line for each variable.
ONE_LINE = ("host_ca_environment",)
_ENVIRONMENT = re.compile(r"(^|[_.])environment$")


def plain_name(label: str) -> str:
    """An option as it is named above: ``applications.port`` for ``pm2_worker_applications[0].port``."""
    return re.sub(r"^\w+_applications(?=\.)", "applications", re.sub(r"\[[^\]]*\]", "", label))


def misfit(label: str, value: t.Any) -> Kind | None:
    """The kind of an option, when a text does not fit it.

    :param label: the option, such as ``nginx_sites[0].allow[1]``.
    :param value: a text, or what Ansible makes one of.
    """
    name, text = plain_name(label), str(value)
    kind = KINDS.get(name)
    if kind is None or (not text and name in _MAY_BE_EMPTY) or kind.fits(text):
        return None
    return kind


def step(label: str) -> str:
    """What to do about a number that is too small."""
    return "These are milliseconds." if plain_name(label) in _MILLISECONDS else ""


def least(label: str) -> int:
    """The smallest number that an option may have."""
    name = plain_name(label)
    return _AT_LEAST.get(name, 1 if name in _AT_LEAST_ONE else 0)


def is_environment(label: str) -> bool:
    """Whether an option holds variables of processes."""
    return _ENVIRONMENT.search(plain_name(label)) is not None


# Environments


def is_variable(name: t.Any) -> bool:
    """Whether a process can have a variable of this name."""
    return isinstance(name, str) and ENVIRONMENT_NAME.fits(name)


def misfit_of_variable(name: str, value: t.Any, lines: bool = True) -> tuple[str, str, str] | None:
    """What is wrong with the value of a variable: found, expected, step. The value itself is not among them.

    YAML makes numbers and truths of ``0640``, ``22:00``, ``1.10`` and ``NO``, which arrive as something else.

    :param lines: whether it may have several lines.
    """
    if isinstance(value, bool | int | float) and (written_after(name) or text_of(value)) != text_of(value):
        found = "a truth" if isinstance(value, bool) else "a number"
        return f"{found} that YAML reads otherwise than it is written", "text", "Put it in quotes."
    if isinstance(value, datetime.date):
        return "a date", "text", "Put it in quotes."
    if isinstance(value, Mapping):
        return "a mapping", "text", "Write what the program reads, such as JSON, in quotes."
    if isinstance(value, list | tuple):
        return "a list", "text", "Write what the program reads, such as 'a,b', in quotes."
    if isinstance(value, str) and "\0" in value:
        return "a text with a NUL", "text without one", "Encode it, such as in base64."
    if isinstance(value, str) and not lines and not value.isprintable():
        return "a text of several lines", "one line", "Its file has one line for each variable."
    return None
