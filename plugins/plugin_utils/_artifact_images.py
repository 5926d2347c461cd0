# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the images that are built rather than pulled: users, paths, commands and variables of the official ones.

Private to this collection. :func:`recipe` is part of what hosts remember: they get an image anew when its making changes.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.durable.temporal.plugins.plugin_utils._artifact_cache import ArtifactError
from ansible_collections.durable.temporal.plugins.plugin_utils._debian_packages import (
    apt_download,
    closure,
    debootstrap_download,
    read_package,
    unpack,
)
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import Tree

LABEL: t.Final = "durable.temporal.artifact"
# To be raised when the code below makes other layers from the same texts and lists, which recipe() sees by itself.
_REVISION: t.Final = {"base": 1, "postgres": 1}

_PATH: t.Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TEMPORAL: t.Final = (1000, 1000)
_POSTGRES: t.Final = (999, 999)

# What the official server image's entry point does, in the shell of busybox.
_SERVER_ENTRYPOINT: t.Final = """\
#!/bin/sh
# Binds to the container's own address unless told otherwise, as the official image does.
set -eu
own=$(hostname -i | awk '{print $1}')
: "${BIND_ON_IP:=$own}"
case $BIND_ON_IP in
  0.0.0.0 | ::0) export TEMPORAL_BROADCAST_ADDRESS="${TEMPORAL_BROADCAST_ADDRESS:-$own}" ;;
esac
export BIND_ON_IP
exec temporal-server start
"""
_UI_ENTRYPOINT: t.Final = """\
#!/bin/sh
set -eu
cd /home/ui-server
exec ./ui-server --env docker start "$@"
"""
_IDLE: t.Final = ["sh", "-c", "trap exit INT HUP TERM; sleep infinity & wait"]


@dataclass(frozen=True)
class Recipe:
    """How an image is put together from the base layer, the layers of its binaries and one small layer of its own."""

    binaries: tuple[str, ...]
    config: t.Mapping[str, t.Any]
    extras: t.Callable[[], Tree] | None = None


def _server_extras() -> Tree:
    tree = Tree()
    tree.directory("etc/temporal/config")
    tree.file("etc/temporal/entrypoint.sh", _SERVER_ENTRYPOINT, mode=0o755)
    return tree


def _ui_extras() -> Tree:
    tree = Tree()
    tree.directory("home/ui-server", owner=_TEMPORAL)
    tree.directory("home/ui-server/config", owner=_TEMPORAL)
    tree.file("home/ui-server/config/docker.yaml", ui_configuration(), owner=_TEMPORAL)
    tree.file("home/ui-server/start-ui-server.sh", _UI_ENTRYPOINT, mode=0o755, owner=_TEMPORAL)
    return tree


RECIPES: t.Final[dict[str, Recipe]] = {
    "server": Recipe(
        ("server",),
        {"User": "temporal", "WorkingDir": "/etc/temporal", "Cmd": ["/etc/temporal/entrypoint.sh"]},
        _server_extras,
    ),
    "admin_tools": Recipe(("sql_tool", "tdbg", "cli"), {"User": "temporal", "Cmd": _IDLE}),
    "ui": Recipe(
        ("ui",),
        {
            "User": "temporal",
            "WorkingDir": "/home/ui-server",
            "Entrypoint": ["./start-ui-server.sh"],
            "ExposedPorts": {"8080/tcp": {}},
        },
        _ui_extras,
    ),
}


def recipe(image: str) -> str:
    """Eight characters that stand for how an image is made: its files, its configuration, the lists of packages.

    ``base`` is the layer under all images of Temporal.
    """
    parts: list[t.Any]
    if image == "base":
        parts = [_REVISION["base"], _BASE_FILES]
    elif image == "postgres":
        lists = [_POSTGRES_ENTRYPOINT, _POSTGRES_FILES, _POSTGRES_ROOTS, _POSTGRES_DENIED, _POSTGRES_DROPPED]
        parts = [_REVISION["postgres"], container_config(postgres_config("0"), ""), lists]
    else:
        own = RECIPES[image]
        parts = [recipe("base"), container_config(own.config, ""), own.binaries]
        parts.append(own.extras().fingerprint() if own.extras else "")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def container_config(config: t.Mapping[str, t.Any], identity: str) -> dict[str, t.Any]:
    """The full container configuration of an image: what is common to all, and the label that names its content."""
    return {"Env": [f"PATH={_PATH}"], **config, "Labels": {LABEL: identity}}


_BASE_FILES: t.Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ntemporal:x:1000:1000::/home/temporal:/bin/sh\n",
    "etc/group": "root:x:0:\ntemporal:x:1000:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def base_tree(architecture: str, work: Path) -> Tree:
    """A shell and its tools (busybox), certificates, time zones, and the user ``temporal``.

    The certificates are this machine's, so those of a company's own authority reach the containers too.
    """
    tree = Tree()
    for deb in apt_download(["busybox-static", "tzdata"], architecture, work):
        package = read_package(deb)
        unpack(package, tree, only=("usr/bin/busybox", "usr/share/zoneinfo/*"), dropped=("*/right/*", "*/posix/*"))
        if package.name == "busybox-static":
            # The link names come from the program itself, which this machine cannot run when it is a foreign one.
            for applet in _applets(deb, architecture, work):
                tree.symlink(f"bin/{applet}", "/usr/bin/busybox")
    if "usr/bin/busybox" not in tree:
        raise ArtifactError("The package busybox-static holds no usr/bin/busybox. Please report this as a bug.")
    tree.file("etc/ssl/certs/ca-certificates.crt", certificates())
    for path, content in _BASE_FILES.items():
        tree.file(path, content)
    for name in ("proc", "sys", "dev", "run", "etc/temporal"):
        tree.directory(name)
    tree.directory("root", 0o700)
    tree.directory("tmp", 0o1777)
    tree.directory("home/temporal", owner=_TEMPORAL)
    return tree


# The commands that health checks, entry points and operators use, should the program not be able to say what it has.
_FALLBACK_APPLETS: t.Final = """
ash awk basename cat chmod chown cp cut date dirname echo env expr false find grep head hostname id kill less
ln ls mkdir mktemp mv nc nslookup ping printf ps pwd rm rmdir sed seq sh sleep sort stat tail tar tee test
timeout touch tr true uname uniq vi wc wget which xargs
"""


def _applets(deb: Path, architecture: str, work: Path) -> list[str]:
    tree = Tree()
    unpack(read_package(deb), tree, only=("usr/bin/busybox",))
    program = work / "busybox"
    program.write_bytes(t.cast("bytes", tree.content("usr/bin/busybox")))
    program.chmod(0o755)
    try:
        listed = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return _FALLBACK_APPLETS.split()
    return [name for name in listed.stdout.split() if name != "busybox"]


def certificates() -> bytes:
    """The certificate authorities that this machine trusts, as one PEM file."""
    places = [
        ssl.get_default_verify_paths().cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
    ]
    for place in places:
        if place and Path(place).is_file():
            return Path(place).read_bytes()
    raise ArtifactError(
        "This machine has no bundle of certificate authorities (looked for "
        "/etc/ssl/certs/ca-certificates.crt). Install the "
        "package ca-certificates."
    )


# --- Temporal UI -----------------------------------------------------------------------------------------------------

# Keys of the UI server's configuration with the variable that sets each, as the official image names them, and its
# default. Text stands in single quotes, so that # and : in it mean nothing to YAML. (The UI server's templates escape
# text as for HTML, quotes included, so the quotes cannot be left to them and no value can break out.)
_UI_KEYS: t.Final[tuple[tuple[str, str, str], ...]] = (
    ("temporalGrpcAddress", "TEMPORAL_ADDRESS", '"127.0.0.1:7233"'),
    ("port", "TEMPORAL_UI_PORT", "8080"),
    ("publicPath", "TEMPORAL_UI_PUBLIC_PATH", '""'),
    ("enableUi", "TEMPORAL_UI_ENABLED", "true"),
    ("cloudUi", "TEMPORAL_CLOUD_UI", "false"),
    ("defaultNamespace", "TEMPORAL_DEFAULT_NAMESPACE", '"default"'),
    ("feedbackUrl", "TEMPORAL_FEEDBACK_URL", '""'),
    ("disableNewsFetch", "TEMPORAL_DISABLE_NEWS_FETCH", "false"),
    ("notifyOnNewVersion", "TEMPORAL_NOTIFY_ON_NEW_VERSION", "false"),
    ("distribution", "TEMPORAL_UI_DISTRIBUTION", '"docker"'),
    ("distributionVersion", "TEMPORAL_UI_DISTRIBUTION_VERSION", '""'),
    ("navCollapsedByDefault", "TEMPORAL_NAV_COLLAPSED_BY_DEFAULT", "false"),
    ("refreshInterval", "TEMPORAL_CONFIG_REFRESH_INTERVAL", "0s"),
    ("showTemporalSystemNamespace", "TEMPORAL_SHOW_TEMPORAL_SYSTEM_NAMESPACE", "false"),
    ("disableWriteActions", "TEMPORAL_DISABLE_WRITE_ACTIONS", "false"),
    ("workflowTerminateDisabled", "TEMPORAL_WORKFLOW_TERMINATE_DISABLED", "false"),
    ("workflowCancelDisabled", "TEMPORAL_WORKFLOW_CANCEL_DISABLED", "false"),
    ("workflowSignalDisabled", "TEMPORAL_WORKFLOW_SIGNAL_DISABLED", "false"),
    ("workflowUpdateDisabled", "TEMPORAL_WORKFLOW_UPDATE_DISABLED", "false"),
    ("workflowResetDisabled", "TEMPORAL_WORKFLOW_RESET_DISABLED", "false"),
    ("workflowPauseDisabled", "TEMPORAL_WORKFLOW_PAUSE_DISABLED", "false"),
    ("batchActionsDisabled", "TEMPORAL_BATCH_ACTIONS_DISABLED", "false"),
    ("startWorkflowDisabled", "TEMPORAL_START_WORKFLOW_DISABLED", "false"),
    ("hideWorkflowQueryErrors", "TEMPORAL_HIDE_WORKFLOW_QUERY_ERRORS", "false"),
    ("refreshWorkflowCountsDisabled", "TEMPORAL_REFRESH_WORKFLOW_COUNTS_DISABLED", "false"),
    ("activityCommandsDisabled", "TEMPORAL_ACTIVITY_COMMANDS_DISABLED", "false"),
    ("hideLogs", "TEMPORAL_HIDE_LOGS", "false"),
    ("cors.cookieInsecure", "TEMPORAL_CSRF_COOKIE_INSECURE", "false"),
    ("cors.unsafeAllowAllOrigins", "TEMPORAL_CORS_UNSAFE_ALLOW_ALL_ORIGINS", "false"),
    ("cors.allowOrigins[]", "TEMPORAL_CORS_ORIGINS", "http://localhost:8080"),
    ("tls.caFile", "TEMPORAL_TLS_CA", '""'),
    ("tls.certFile", "TEMPORAL_TLS_CERT", '""'),
    ("tls.keyFile", "TEMPORAL_TLS_KEY", '""'),
    ("tls.caData", "TEMPORAL_TLS_CA_DATA", '""'),
    ("tls.certData", "TEMPORAL_TLS_CERT_DATA", '""'),
    ("tls.keyData", "TEMPORAL_TLS_KEY_DATA", '""'),
    ("tls.enableHostVerification", "TEMPORAL_TLS_ENABLE_HOST_VERIFICATION", "false"),
    ("tls.serverName", "TEMPORAL_TLS_SERVER_NAME", '""'),
    ("uiServerTLS.certFile", "TEMPORAL_UI_SERVER_TLS_CERT", '""'),
    ("uiServerTLS.keyFile", "TEMPORAL_UI_SERVER_TLS_KEY", '""'),
    ("auth.enabled", "TEMPORAL_AUTH_ENABLED", "false"),
    ("auth.redirectToProvider", "TEMPORAL_AUTH_REDIRECT_TO_PROVIDER", "false"),
    ("auth.maxSessionDuration", "TEMPORAL_MAX_SESSION_DURATION", "0s"),
    ("codec.endpoint", "TEMPORAL_CODEC_ENDPOINT", '""'),
    ("codec.passAccessToken", "TEMPORAL_CODEC_PASS_ACCESS_TOKEN", "false"),
    ("codec.includeCredentials", "TEMPORAL_CODEC_INCLUDE_CREDENTIALS", "false"),
    ("codec.defaultErrorMessage", "TEMPORAL_CODEC_DEFAULT_ERROR_MESSAGE", '""'),
    ("codec.defaultErrorLink", "TEMPORAL_CODEC_DEFAULT_ERROR_LINK", '""'),
    ("forwardHeaders[]", "TEMPORAL_FORWARD_HEADERS", ""),
)
_UI_PROVIDER: t.Final[tuple[tuple[str, str, str], ...]] = (
    ("label", "TEMPORAL_AUTH_LABEL", '"sso"'),
    ("type", "TEMPORAL_AUTH_TYPE", '"oidc"'),
    ("providerUrl", "TEMPORAL_AUTH_PROVIDER_URL", '""'),
    ("issuerUrl", "TEMPORAL_AUTH_ISSUER_URL", '""'),
    ("clientId", "TEMPORAL_AUTH_CLIENT_ID", '""'),
    ("clientSecret", "TEMPORAL_AUTH_CLIENT_SECRET", '""'),
    ("callbackUrl", "TEMPORAL_AUTH_CALLBACK_URL", '""'),
    ("useIdTokenAsBearer", "TEMPORAL_AUTH_USE_ID_TOKEN_AS_BEARER", "false"),
    ("refreshTokenDuration", "TEMPORAL_AUTH_REFRESH_TOKEN_DURATION", "0s"),
    ("scopes[]", "TEMPORAL_AUTH_SCOPES", ""),
)


def ui_configuration() -> str:
    """``config/docker.yaml`` of the UI image: a template that the UI server itself fills from the environment."""
    lines = ["# enable-template", "# Every value comes from the container's environment."]
    section = ""
    for key, variable, default in _UI_KEYS:
        head, dot, leaf = key.rpartition(".")
        if head != section:
            section = head
            if section == "codec":
                lines += _ui_provider()
            if dot:
                lines.append(f"{head}:")
        lines += _ui_lines(leaf, variable, default, "  " if dot else "")
        if key == "uiServerTLS.keyFile":
            lines += _ui_mutual_tls()
    return "\n".join(lines) + "\n"


def _ui_lines(key: str, variable: str, default: str, indent: str) -> list[str]:
    if key.endswith("[]"):
        source = f'env "{variable}"' + (f' | default "{default}"' if default else "")
        name = key.removesuffix("[]")
        return [
            f"{indent}{name}:",
            f'{indent}{{{{- range ({source}) | splitList "," }}}}',
            f"{indent}{{{{- if . }}}}",
            f"{indent}  - '{{{{ . | trim }}}}'",
            f"{indent}{{{{- end }}}}",
            f"{indent}{{{{- end }}}}",
        ]
    if default.startswith('"'):
        return [f"{indent}{key}: '{{{{ env \"{variable}\" | default {default} }}}}'"]
    return [f'{indent}{key}: {{{{ env "{variable}" | default "{default}" }}}}']


def _ui_mutual_tls() -> list[str]:
    return [
        '  {{- if env "TEMPORAL_UI_SERVER_MTLS_CA" }}',
        "  mTLS:",
        "    caFile: '{{ env \"TEMPORAL_UI_SERVER_MTLS_CA\" }}'",
        "    clientAuth: '{{ env \"TEMPORAL_UI_SERVER_MTLS_CLIENT_AUTH\" }}'",
        "  {{- end }}",
    ]


def _ui_provider() -> list[str]:
    lines = ["  providers:"]
    for key, variable, default in _UI_PROVIDER:
        lines += _ui_lines(key, variable, default, "      ")
    first = lines[1]
    lines[1] = "    - " + first.lstrip()
    return lines


# --- PostgreSQL ------------------------------------------------------------------------------------------------------

POSTGRES_SUITES: t.Final = {"15": "bookworm", "17": "trixie"}

# Written for this collection; the variables are those of the official image, so that both run from one Compose file.
_POSTGRES_ENTRYPOINT: t.Final = r"""#!/bin/bash
# Creates the database cluster on the first start, then runs PostgreSQL as the user postgres.
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, each also as *_FILE;
# /docker-entrypoint-initdb.d/*.sh and *.sql run once, in order.
set -Eeuo pipefail

if [ $# = 0 ] || [ "${1:0:1}" = - ]; then
  set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
  exec "$@"
fi
for argument in "$@"; do
  case $argument in
    -'?' | --help | --describe-config | -V | --version) exec "$@" ;;
  esac
done

# Files are read while still root: they may be for root only.
for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do
  file=${name}_FILE
  if [ -n "${!file:-}" ]; then
    if [ -n "${!name:-}" ]; then
      echo "error: both $name and $file are set; set one of them" >&2
      exit 1
    fi
    if ! value=$(cat "${!file}"); then
      echo "error: $file names ${!file}, which cannot be read" >&2
      exit 1
    fi
    export "$name=$value"
    unset "$file"
  fi
done

# The cluster is made beside its place and moved there when complete, PG_VERSION last: a first start that is cut short
# never looks like a finished one.
new=$PGDATA/.first-start

# Before anything here gets another owner: the files of others keep theirs.
if [ -e "$PGDATA" ] && [ ! -s "$PGDATA/PG_VERSION" ] && [ ! -e "$new" ]; then
  found=$(find "$PGDATA/" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit)
  if [ -n "$found" ]; then
    echo "error: $PGDATA holds files and is no PostgreSQL data directory; empty it or mount another one" >&2
    exit 1
  fi
fi

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /run/postgresql
  chmod 0700 "$PGDATA"
  chmod 3777 /run/postgresql
  find "$PGDATA" /run/postgresql ! -user postgres -exec chown postgres:postgres {} +
  exec setpriv --reuid=postgres --regid=postgres --init-groups "${BASH_SOURCE[0]}" "$@"
fi

create_cluster() {
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo 'error: the data directory is empty and there is no superuser password; set POSTGRES_PASSWORD_FILE' >&2
    exit 1
  fi
  if [ -e "$new" ]; then
    echo 'the first start was interrupted; beginning anew' >&2
    find "$PGDATA" -mindepth 1 ! -name lost+found -delete
  fi
  mkdir -m 0700 "$new"
  local user=${POSTGRES_USER:-postgres} password=${POSTGRES_PASSWORD:-} options=()
  local database=${POSTGRES_DB:-$user} method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -n "$password" ]; then
    options=(--pwfile=/dev/stdin)
  fi
  # shellcheck disable=SC2086
  printf '%s\n' "$password" |
    initdb -D "$new" --username="$user" --auth-local=trust --auth-host="$method" "${options[@]}" \
      ${POSTGRES_INITDB_ARGS:-}
  # From other containers and, through published ports, the host.
  printf '\nhost all all all %s\n' "$method" >>"$new/pg_hba.conf"

  # Nobody can connect from outside while the initial scripts run.
  pg_ctl -D "$new" -o "-c listen_addresses=''" -w start
  export PGHOST=/run/postgresql PGUSER=$user
  if [ "$database" != postgres ]; then
    PGDATABASE=postgres psql -q -v ON_ERROR_STOP=1 -v name="$database" <<<'CREATE DATABASE :"name";'
  fi
  export PGDATABASE=$database
  local script
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) if [ -x "$script" ]; then "$script"; else . "$script"; fi ;;
      *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -f "$script" ;;
    esac
  done
  pg_ctl -D "$new" -m fast -w stop
  unset PGHOST PGUSER PGDATABASE
  find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  sync
  mv "$new/PG_VERSION" "$PGDATA"
  rmdir "$new"
  echo 'PostgreSQL init process complete; ready for start up.'
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  create_cluster
fi
unset POSTGRES_PASSWORD
exec "$@"
"""
_POSTGRES_FILES: t.Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\npostgres:x:999:999::/var/lib/postgresql:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\npostgres:x:999:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_POSTGRES_ROOTS: t.Final = (
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "sed",
    "tzdata",
    "util-linux",
)
# Neither needed by the server nor by its clients: packaging helpers with Perl, and the just-in-time compiler (130 MB).
_POSTGRES_DENIED: t.Final = (
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "libllvm*",
    "libperl*",
    "libz3-*",
    "locales",
    "openssl",
    "passwd",
    "perl*",
    "postgresql-client-common",
    "postgresql-common*",
    "sensible-utils",
    "ssl-cert",
    "tar",
    "ucf",
)
_POSTGRES_DROPPED: t.Final = (
    "usr/share/doc/*/[!c]*",
    "usr/share/doc/*/changelog*",
    "usr/share/info/*",
    "usr/share/lintian/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "usr/share/bash-completion/*",
    "usr/share/postgresql/*/man/*",
    "usr/share/zoneinfo/right/*",
    "usr/share/zoneinfo/posix/*",
    "usr/lib/systemd/*",
    "usr/lib/*/gconv/*",
    "usr/lib/*/perl*",
    "usr/lib/postgresql/*/lib/bitcode/*",
    "usr/lib/postgresql/*/lib/llvmjit*",
    "etc/cron*",
    "etc/init.d/*",
    "run/*",
    "var/run",
    "var/lock",
)


def postgres_config(major: str) -> dict[str, t.Any]:
    """Container configuration of the PostgreSQL image."""
    return {
        "Env": [
            f"PATH=/usr/lib/postgresql/{major}/bin:{_PATH}",
            "LANG=C.UTF-8",
            f"PG_MAJOR={major}",
            "PGDATA=/var/lib/postgresql/data",
        ],
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["postgres"],
        "ExposedPorts": {"5432/tcp": {}},
        "Volumes": {"/var/lib/postgresql/data": {}},
        "StopSignal": "SIGINT",
    }


def postgres_tree(major: str, architecture: str, work: Path) -> Tree:
    """PostgreSQL with what it needs, from the packages of a Debian release."""
    package = f"postgresql-{major}"
    fetched = debootstrap_download(POSTGRES_SUITES[major], package, architecture, work)
    packages = closure(map(read_package, fetched), (package, *_POSTGRES_ROOTS), _POSTGRES_DENIED)
    tree = Tree()
    for part in packages:
        unpack(part, tree, dropped=_POSTGRES_DROPPED)
        # Where scanners look for the packages of an image that has no package manager.
        tree.file(f"var/lib/dpkg/status.d/{part.name}", part.control)
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.symlink(name, f"usr/{name}")
    tree.symlink("var/run", "/run")
    for name in ("proc", "sys", "dev", "run", "docker-entrypoint-initdb.d"):
        tree.directory(name)
    tree.directory("root", 0o700)
    for name in ("tmp", "var/tmp"):
        tree.directory(name, 0o1777)
    tree.directory("run/postgresql", 0o3777, _POSTGRES)
    tree.directory("var/lib/postgresql", owner=_POSTGRES)
    tree.directory("var/lib/postgresql/data", 0o700, _POSTGRES)
    for path, content in _POSTGRES_FILES.items():
        tree.file(path, content)
    tree.file("usr/local/bin/docker-entrypoint.sh", _POSTGRES_ENTRYPOINT, mode=0o755)
    return tree
