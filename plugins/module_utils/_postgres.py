# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL for modules: connecting, comparing settings by value instead of by spelling, SCRAM verifiers.

Private to this collection.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import hashlib
import hmac
import re
import secrets
import stringprep
import typing as t
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import missing_required_lib

try:
    import psycopg2

    PSYCOPG2_ERROR: str | None = None
except ImportError as error:
    PSYCOPG2_ERROR = str(error)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LOGIN_OPTIONS: dict[str, dict[str, t.Any]] = {
    "login_host": {"type": "str", "default": "127.0.0.1"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str", "default": "postgres"},
    "ssl_mode": {
        "type": "str",
        "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "default": "prefer",
    },
    "ca_cert": {"type": "path"},
    "connect_timeout_seconds": {"type": "int", "default": 10},
}


# Nobody listens, the port of a container leads nowhere yet, or the server is starting or stopping.
NOBODY = r"Connection refused|No such file or dir|closed the connection|reset by peer|system is (starting|shutting)"


# Connecting -----------------------------------------------------------------------------------------------------------


class Refused(Exception):
    """A connection failed. ``kind`` is ``password``, ``absent`` (nobody answers) or ``other``."""

    def __init__(self, kind: t.Literal["password", "absent", "other"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


def login(params: t.Mapping[str, t.Any], **other: t.Any) -> t.Any:
    """A connection with autocommit.

    :param params: values of :data:`LOGIN_OPTIONS`.
    :param other: replaces single ones, for example ``login_user``.
    :raises Refused: with a sentence that says what to do.
    """
    options = {**params, **other}
    try:
        connection = psycopg2.connect(
            host=options["login_host"],
            port=options["login_port"],
            user=options["login_user"],
            password=options["login_password"],
            dbname=options["login_db"],
            sslmode=options["ssl_mode"],
            sslrootcert=options["ca_cert"],
            connect_timeout=options["connect_timeout_seconds"],
            application_name="durable.temporal",
        )
    except psycopg2.OperationalError as error:
        raise explain(str(error), options) from error
    connection.autocommit = True
    return connection


def explain(error: str, params: t.Mapping[str, t.Any]) -> Refused:
    """What libpq said, as a sentence with the next step."""
    server = f"{params['login_host']}:{params['login_port']}"
    user = params["login_user"]
    if re.search(r"password authentication failed|no password supplied", error):
        return Refused(
            "password",
            f"PostgreSQL at {server} refused the password of user {user}. A server keeps the password that it was "
            f"initialised with, and a changed secret does not reach it by itself: rotate.yml sets it. Run that, or put the "
            f"former secret (of the role postgres: postgres_superuser_password) back. Where neither helps, set "
            f"the new one in the server: psql -U {user} -c '\\password {user}' (in a container: docker exec -it "
            f"CONTAINER psql ...).",
        )
    if re.search(NOBODY, error):
        return Refused(
            "absent",
            f"Nothing answers at {server}; expected PostgreSQL. Look whether it runs (docker ps, systemctl status "
            f"postgresql) and whether postgres_port and postgres_bind_address are right.",
        )
    return Refused("other", f"PostgreSQL at {server} could not be reached as {user}: {error.strip()}")


def connect(module: AnsibleModule) -> t.Any:
    """A connection, or ``None`` where no server has to answer: in check mode, or as the option ``must_answer`` says.

    Where the password is refused, the one in the file ``former_password_file`` is tried. Any other failure ends the module.
    """
    if PSYCOPG2_ERROR is not None:
        if module.check_mode:
            return None
        module.fail_json(
            msg=missing_required_lib("psycopg2") + " On Debian and Ubuntu it is the package python3-psycopg2."
        )
    try:
        return login(module.params)
    except Refused as refused:
        former = former_password(module.params) if refused.kind == "password" else None
        if former is not None:
            with contextlib.suppress(Refused):
                return login(module.params, login_password=former)
        if refused.kind == "absent" and (module.check_mode or not module.params["must_answer"]):
            return None
        module.fail_json(msg=str(refused))
        raise AssertionError from refused  # fail_json does not return


def former_password(params: t.Mapping[str, t.Any]) -> str | None:
    """What the file with the password of before holds; ``None`` when there is no such file."""
    try:
        return Path(params["former_password_file"]).read_text(encoding="utf-8")
    except (TypeError, FileNotFoundError):
        return None


def rows(connection: t.Any, query: t.Any, arguments: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:
    """All rows of one query."""
    with connection.cursor() as cursor:
        cursor.execute(query, arguments or None)
        result: list[tuple[t.Any, ...]] = cursor.fetchall() if cursor.description else []
        return result


# Settings -------------------------------------------------------------------------------------------------------------

_MEMORY = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TIME = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_NUMBER = re.compile(r"^\s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(?P<unit>[A-Za-z]*)\s*$")
_TRUE, _FALSE = ("on", "true", "yes", "1", "t", "y"), ("off", "false", "no", "0", "f", "n")

Value = t.Union[bool, int, float, str]
"""A setting's value in the type and unit that the server counts in."""


@dataclass(frozen=True)
class Setting:
    """A row of ``pg_settings``, with ``configured``: what the configuration files say, ``None`` when they do not."""

    name: str
    setting: str
    unit: str | None
    vartype: str
    context: str
    source: str
    boot: str | None
    lowest: str | None
    highest: str | None
    pending_restart: bool
    configured: str | None = None

    @property
    def needs_restart(self) -> bool:
        return self.context == "postmaster"

    @property
    def value(self) -> Value:
        """What the server will have after its next restart."""
        text = self.configured if self.configured is not None else self.boot
        return canonical(self.setting if text is None else text, self)

    def shown(self) -> str:
        """For people: the text of the files, or the value that is in effect."""
        return self.configured if self.configured is not None else f"{self.setting} {self.unit or ''}".strip()


READ_SETTINGS = """
select s.name, s.setting, s.unit, s.vartype, s.context, s.source, s.boot_val, s.min_val, s.max_val, s.pending_restart,
       (select f.setting from pg_file_settings f where f.name = s.name order by f.seqno desc limit 1)
  from pg_settings s
"""


# Settings whose lists PostgreSQL quotes: one text with a comma would be one name with a comma in it.
LISTS: t.Final = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
PRELOADED: t.Final = ("local_preload_libraries", "session_preload_libraries", "shared_preload_libraries")


def elements(name: str, value: t.Any) -> list[t.Any]:
    """What a setting is set to, one by one: a list as it is written, or as a text with commas."""
    if isinstance(value, str) and name in LISTS:
        return [part.strip().strip('"') for part in value.split(",") if part.strip()] or [""]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def in_effect(setting: Setting) -> tuple[str, str]:
    """The line of ``postgresql.auto.conf`` that a setting which waits for a restart had before.

    Returns a regular expression for the line that it has now, and the line.
    """
    value = setting.setting.replace("\\", "\\\\").replace("'", "''")
    return f"^(){re.escape(setting.name)} *=.*$", f"{setting.name} = '{value}'"


def render(value: t.Any) -> str:
    """A YAML value in PostgreSQL's spelling. Lists become the elements, separated by a comma."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ", ".join(render(element) for element in value)
    return str(value)


def canonical(text: str, setting: Setting) -> Value:
    """The value that a spelling stands for, in the setting's own unit: ``1GB`` is 131072 pages of 8 kB.

    :raises ValueError: with a sentence when the text cannot be a value of this setting.
    """
    if setting.vartype == "bool":
        word = text.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError(f"{setting.name} is {text!r}; expected on or off")
    if setting.vartype in ("integer", "real"):
        number = _scaled(text, setting)
        return round(number) if setting.vartype == "integer" else float(number)
    if setting.vartype == "enum":
        return text.strip().lower()
    return ", ".join(elements(setting.name, text)) if setting.name in LISTS else text


def _scaled(text: str, setting: Setting) -> float:
    match = _NUMBER.match(text)
    if match is None:
        raise ValueError(f"{setting.name} is {text!r}; expected a number{_units(setting)}")
    number, word = float(match["number"]), match["unit"]
    if not word:
        return number
    for table in (_MEMORY, _TIME):
        base = _unit_factor(setting.unit, table)
        if base is not None and word in table:
            return number * table[word] / base
    raise ValueError(f"{setting.name} is {text!r}; expected a number{_units(setting)}")


def _unit_factor(unit: str | None, table: t.Mapping[str, int]) -> int | None:
    """``8kB`` in bytes, ``min`` in microseconds; ``None`` when the unit is of another kind."""
    match = re.fullmatch(r"(\d*)([A-Za-z]+)", unit or "")
    if match is None or match[2] not in table:
        return None
    return int(match[1] or 1) * table[match[2]]


def _units(setting: Setting) -> str:
    for table in (_MEMORY, _TIME):
        if _unit_factor(setting.unit, table) is not None:
            return " with one of the units " + ", ".join(table)
    return " without a unit"


def check_range(setting: Setting, value: Value) -> str | None:
    """A sentence when a number lies outside what the server accepts."""
    if setting.vartype not in ("integer", "real") or setting.lowest is None or setting.highest is None:
        return None
    if float(setting.lowest) <= float(value) <= float(setting.highest):
        return None
    unit = f" (in units of {setting.unit})" if setting.unit else ""
    return f"{setting.name} is {value}; expected {setting.lowest} to {setting.highest}{unit}"


@dataclass(frozen=True)
class Alteration:
    """One setting to change; ``wanted`` is ``None`` when it goes back to its default."""

    setting: Setting
    wanted: t.Any


# Without a unit these are milliseconds. A second by mistake ends what the platform itself asks, and the server of Temporal.
_LIMITS: t.Final = (
    "statement_timeout",
    "lock_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)


def too_short(name: str, value: t.Any) -> str | None:
    """A sentence when a limit is a few milliseconds and was meant otherwise."""
    text = str(value).strip()
    if name.lower() not in _LIMITS or not text.isdecimal() or not 0 < int(text) < 1000:
        return None
    return f"{name} is {text}, which is milliseconds; expected a time with its unit, such as '{text}s', or 0 for none"


def spelt(wanted: t.Mapping[str, t.Any], present: t.Mapping[str, Setting]) -> dict[str, t.Any]:
    """Settings by the names that the server has for them: it takes ``timezone`` for ``TimeZone``."""
    names = {name.lower(): name for name in present}
    return {names.get(name.lower(), name): value for name, value in wanted.items()}


def compare_settings(
    wanted: t.Mapping[str, t.Any], present: t.Mapping[str, Setting]
) -> tuple[list[Alteration], list[str]]:
    """What must be altered, and sentences about what cannot be.

    A value that the files already say counts as present, even while the server still waits for a restart.
    """
    alterations: list[Alteration] = []
    problems: list[str] = []
    for name, raw in wanted.items():
        setting = present.get(name)
        if setting is None:
            near = difflib.get_close_matches(name, present, n=1)
            guess = f"; did you mean {near[0]}?" if near else ". Remove it, or load the extension that defines it."
            problems.append(f"{name} is not a setting of this server{guess}")
            continue
        if short := too_short(name, raw):
            problems.append(short)
            continue
        if raw is None:
            if setting.configured is not None and setting.value != canonical(setting.boot or "", setting):
                alterations.append(Alteration(setting, None))
            continue
        try:
            value = canonical(render(elements(name, raw)), setting)
        except ValueError as error:
            problems.append(str(error))
            continue
        problem = check_range(setting, value)
        if problem:
            problems.append(problem)
        elif setting.context == "internal":
            problems.append(f"{name} is fixed when the server is built or initialised; remove it")
        elif setting.source == "command line" and canonical(setting.setting, setting) != value:
            problems.append(
                f"{name} is given on the server's command line ({setting.setting}), which wins; change it there"
            )
        elif setting.value != value:
            alterations.append(Alteration(setting, raw))
    return alterations, problems


def needs_reload(wanted: t.Mapping[str, t.Any], present: t.Mapping[str, Setting]) -> list[str]:
    """Settings for which the files say something else than what is in effect or waits for a restart: a reload is due.

    A value of -1 means "work it out", so what is in effect is another number by design.
    """
    missed = []
    for name, raw in wanted.items():
        setting = present.get(name)
        if setting is None or setting.pending_restart:
            continue
        if raw is None:
            due = setting.configured is None and setting.source == "configuration file"
        else:
            due = (
                render(raw) != "-1"
                and setting.source in ("default", "configuration file")
                and canonical(setting.setting, setting) != canonical(render(elements(name, raw)), setting)
            )
        if due:
            missed.append(name)
    return missed


# Passwords ------------------------------------------------------------------------------------------------------------

_VERIFIER = re.compile(r"^SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[^$]+)\$(?P<stored>[^:]+):(?P<server>.+)$")
ITERATIONS = 4096  # PostgreSQL's own default


def _prepare(password: str) -> bytes:
    """SASLprep (RFC 4013) as far as PostgreSQL follows it: ASCII as it is, else mapped and normalised."""
    if password.isascii():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    return unicodedata.normalize("NFKC", mapped).encode()


def make_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores for a password. Sending it instead of the password keeps that out of the server's log."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", _prepare(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def verifies(password: str, verifier: str | None) -> bool:
    """Whether a stored verifier belongs to the password. An MD5 hash never does: it is to be replaced."""
    match = _VERIFIER.match(verifier or "")
    if match is None:
        return False
    made = make_verifier(password, base64.b64decode(match["salt"]), int(match["iterations"]))
    return hmac.compare_digest(made, match[0])
