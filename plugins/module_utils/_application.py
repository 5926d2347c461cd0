# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application is: one schema, its defaults, and where its things lie on a host.

Private to this collection. Roles and filters describe an application only through :func:`normalise`, so that the
runtime role, the deployment and the modules can never disagree about a path.
"""

from __future__ import annotations

import posixpath
import re
import typing as t

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# A release is tried beside the live one by processes with this in their name.
CANDIDATE = "-candidate"
ACCOUNT_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# It stands in a unit, where blanks end a word and these have a meaning.
PROGRAM_NAME = re.compile(r"[^\s\x00-\x1f\x7f%$\"'\\;]+")
# A directory at the root of a release, and in shared/, where the log of deployments lies.
WRITABLE = re.compile(r"(?!deploys\.log\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What a release consists of, at its root.
OF_RELEASES = (
    "REVISION",
    "dist",
    "node_modules",
    "package.json",
    "package-lock.json",
    "requirements.lock",
    "venv",
    "wheels",
)
# What systemd takes for a unit (255), without release, digest, number and suffix.
LONGEST_NAME = 180
PROCESS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# Ours alone: below a directory of the system, an application called nginx or security would take what others have there.
CONFIGURATION = "/etc/durable-temporal"
STATE = "/var/lib/durable-temporal"

# Units, nginx sites and directories below /opt are named after an application: these names have an owner.
RESERVED = frozenset(
    (
        *(
            "containerd",
            "docker",
            "init",
            "nginx",
            "pm2",
            "postgres",
            "postgresql",
            "root",
            "ssh",
            "sshd",
            "sudo",
            "system",
        ),
        *(
            "systemd",
            "user",
            "durable-temporal",
            "temporal",
            "temporal-admin-tools",
            "temporal-postgres",
            "temporal-server",
        ),
        "temporal-ui",
    )
)
# Below these, nothing is an application's own: the system's, a person's (units do not see /home), or gone after a reboot.
SYSTEM_PLACES = frozenset(
    ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "usr")
)
# Directly below /var everything is the system's, and so is what these hold.
SYSTEM_STATE = ("docker", "containerd", "dpkg", "apt", "postgresql", "systemd", "nginx", "durable-temporal", "private")
# What everybody writes to, and what the system empties or turns over, below /var.
SHARED_STATE = ("backups", "cache", "lock", "log", "mail", "run", "spool", "tmp")
# Below /opt these are ours, or the container engine's.
TAKEN = ("containerd", "durable-temporal", "pm2")
# Members of these can become root, or read what only root should.
PRIVILEGED_GROUPS = ("adm", "disk", "docker", "kmem", "lxd", "root", "shadow", "sudo", "wheel")

# What an application may leave out. Paths follow from its name.
DEFAULTS: dict[str, t.Any] = {
    "user": "workflow",
    "runtime": "pm2",
    "dependencies": None,
    "artifact": "",
    "artifact_sha256": "",
    "source": "",
    "namespace": "",
    "task_queues": [],
    "poller_identity": "",
    "candidate": True,
    "temporal_address": "",
    "temporal_address_variables": ["TEMPORAL_ADDRESS"],
    "port": None,
    "health_url": "",
    "keep_releases": 5,
    "environment": {},
    "npm_environment": {},
    "install_scripts": None,
    "writable": [],
    "replay_command": [],
    "versioning": "none",
    "rollout_steps": [],
    "processes": [],
}
CHOICES: dict[str, tuple[str, ...]] = {
    "runtime": ("pm2", "systemd"),
    "dependencies": ("npm", "wheels", "none"),
    "versioning": ("none", "worker_deployment"),
}

# What a process of each runtime may leave out.
PROCESS_DEFAULTS: dict[str, dict[str, t.Any]] = {
    # The kill timeout must be longer than the time that the program gives its activities to finish: PM2's own 1600 ms
    # kills them, and they run again. A process counts as started when it says so (wait_ready).
    "pm2": {
        "instances": 1,
        "exec_mode": "fork",
        "args": "",
        "node_args": "",
        "max_memory_restart": "",
        "restart_delay": 3000,
        # As long as Temporal is away, a worker ends soon after its start. PM2 would never try it again.
        "max_restarts": 1_000_000_000,
        "min_uptime": "10s",
        "kill_timeout": 30000,
        "wait_ready": True,
        "listen_timeout": 15000,
        "environment": {},
    },
    # As for PM2, the stop timeout is longer than what the program gives its activities. None: follows from the language.
    "systemd": {
        "instances": 1,
        "notify": True,
        "start_timeout_seconds": 90,
        "stop_timeout_seconds": 60,
        "memory_max": "1G",
        "memory_deny_write_execute": None,
        "socket": False,
        "environment": {},
    },
}
# What a process of each runtime must have: (option, what to write there).
PROGRAM = {
    "pm2": ("script", "name the file in the release, such as dist/worker.js"),
    "systemd": ("command", "write a list of the program in the release and its arguments, such as [bin/worker]"),
}
# The variable by which PM2 tells from which declaration of ours a process was started.
DEFINITION = "DURABLE_DEFINITION"
# PM2's variable with the number of an instance among those of its process, from 0.
INDEX = "NODE_APP_INSTANCE"
# PM2 (7.0) keeps the variables of a process among its options and its record of it: one of these names is another option,
# or has another value when it arrives.
_PM2_NAMES = """
    append_env_to_name args automation autorestart autostart cron_restart cwd deep_monitoring disable_logs
    disable_source_map_support disable_trace env error_file event_loop_inspector exec_interpreter exec_mode execute_command
    exp_backoff_restart_delay filter_env force gid ignore_watch increment_var install_url instance_var instances io
    kill_retry_time kill_timeout listen_timeout log_date_format log_file log_type max_memory_restart max_restarts merge_logs
    min_uptime name name_prefix namespace node_args out_file pid_file pmx port post_update restart_delay script
    shutdown_with_message source_map_support stop_exit_codes time trace treekill uid username v8 vizion wait_ready watch
    watch_delay watch_options windowsHide write
    _km_monitored _tree_pids axm_actions axm_dynamic axm_monitor axm_options created_at current_conf exit_code km_link
    node_version pm2_env pm_cwd pm_err_log_path pm_exec_path pm_id pm_log_path pm_out_log_path pm_pid_path pm_uptime
    pmx_module prev_restart_delay restart_task restart_time status unique_id unstable_restarts updateEnv version versioning
    vizion_running NODE_CHANNEL_FD NODE_UNIQUE_ID
    """
PM2_NAMES = frozenset(_PM2_NAMES.split())
# What systemd tells a process: a value from a file of ours would win over it.
_SYSTEMD_NAMES = """
    CREDENTIALS_DIRECTORY FDSTORE INVOCATION_ID JOURNAL_STREAM LISTEN_FDNAMES LISTEN_FDS LISTEN_PID MAINPID MANAGERPID
    NOTIFY_SOCKET SYSTEMD_EXEC_PID WATCHDOG_PID WATCHDOG_USEC
    """
SYSTEMD_NAMES = frozenset(_SYSTEMD_NAMES.split())
# By which a worker knows its build.
BUILD = ("TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_BUILD_ID")
# Without a unit these are bytes; a few of them are megabytes by mistake.
MEMORY = re.compile(r"[1-9][0-9]*[KMGT]|[1-9][0-9]{7,}|infinity")


def programs(application: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Process of an application (normalised) to the file that it starts, below the release where it is not absolute.

    Without those that are a program of the system for PM2, such as ``npm``.
    """
    if application["runtime"] == "systemd":
        return {process["name"]: process["command"][0] for process in application["processes"]}
    found = {process["name"]: str(process["script"]) for process in application["processes"]}
    return {name: script for name, script in found.items() if not re.fullmatch(r"[\w-]+", script)}


def _dependencies(runtime: str, processes: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """How dependencies are installed when that is not declared: as the programs need it."""
    paths = [posixpath.normpath(process["command"][0]).split("/") for process in processes if runtime == "systemd"]
    if any(path[-1] == "node" or path[0] == "node_modules" for path in paths):
        return "npm"
    if any(path[0] == "venv" for path in paths):
        return "wheels"
    return "none" if paths else "npm"


class InvalidApplication(ValueError):
    """An application is declared in a way that cannot work; the text is for the operator."""


def _process(application: str, runtime: str, declared: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A process with its defaults filled in."""
    name = str(declared.get("name", ""))
    where = f"application {application}, process {name or declared!r}"
    if not PROCESS_NAME.fullmatch(name):
        raise InvalidApplication(f"{where}: a name of letters, digits, hyphens and underscores is needed.")
    if len(f"{application}-{name}") > LONGEST_NAME:
        raise InvalidApplication(
            f"{where}: with the application's name it has {len(f'{application}-{name}')} characters, and names of units and of "
            f"files of logs are made of it; expected up to {LONGEST_NAME}. Shorten it."
        )
    given = {k: v for k, v in declared.items() if v is not None}
    program, step = PROGRAM[runtime]
    if not given.get(program):
        raise InvalidApplication(f"{where}: {program} is missing; {step}.")
    known = {r: {"name", PROGRAM[r][0], *PROCESS_DEFAULTS[r]} for r in PROCESS_DEFAULTS}
    for option in sorted(set(given) - known[runtime]):
        if others := [r for r in known if option in known[r]]:
            raise InvalidApplication(f"{where}: {option} is for the runtime {others[0]}, and this one is {runtime}.")
        raise InvalidApplication(f"{where}: unknown option {option}.")
    process = {**PROCESS_DEFAULTS[runtime], **given}
    process["instances"] = int(process["instances"])
    if process["instances"] < 1:
        raise InvalidApplication(f"{where}: instances is {process['instances']}, at least 1 is needed.")
    if runtime == "pm2" and process["exec_mode"] not in ("fork", "cluster"):
        raise InvalidApplication(f"{where}: exec_mode is {process['exec_mode']!r}; expected fork or cluster.")
    if runtime == "systemd":
        if not isinstance(process["command"], list):
            raise InvalidApplication(f"{where}: command is {process['command']!r}; {step}.")
        process["command"] = [str(word) for word in process["command"]]
        if not PROGRAM_NAME.fullmatch(process["command"][0]):
            raise InvalidApplication(
                f"{where}: command begins with {process['command'][0]!r}; expected the path of a program without blanks, "
                "quotes, % and $. Write each argument as an element of its own."
            )
        process["memory_max"] = str(process["memory_max"])
        if not MEMORY.fullmatch(process["memory_max"]):
            raise InvalidApplication(
                f"{where}: memory_max is {process['memory_max']!r}; expected a size with its unit, such as 512M or 1G, "
                "or infinity."
            )
    return process


def _check_together(application: t.Mapping[str, t.Any]) -> None:
    """:raises InvalidApplication: options that are fine alone and cannot work together."""
    where = f"application {application['name']}"
    runtime, versioned = application["runtime"], application["versioning"] != "none"
    if runtime == "pm2" and application["dependencies"] == "wheels":
        raise InvalidApplication(
            f"{where}: dependencies is wheels and runtime pm2, which runs Node.js; set runtime to systemd."
        )
    if versioned and runtime != "systemd":
        raise InvalidApplication(
            f"{where}: versioning is {application['versioning']} and runtime {runtime}; only systemd keeps the builds of "
            "a worker deployment side by side. Set runtime to systemd, or versioning to none."
        )
    for process, program in programs(application).items():
        if posixpath.normpath(program).split("/")[0] in application["writable"]:
            raise InvalidApplication(
                f"{where}: writable names the directory of {program}, which process {process} starts; expected directories "
                "without code, as they are kept for all releases. Have the program write elsewhere."
            )
    if taken := sorted({"HOME", "PATH"} & set(application["npm_environment"])):
        raise InvalidApplication(
            f"{where}: npm_environment has {' and '.join(taken)}, with which npm would run another Node.js than the application, "
            "or leave its cache elsewhere; expected variables that npm reads. Remove it."
        )
    for option in ("npm_environment", "install_scripts"):
        if application[option] and application["dependencies"] != "npm":
            raise InvalidApplication(
                f"{where}: {option} is for npm, and dependencies is {application['dependencies']}; remove {option}, or set "
                "dependencies to npm."
            )
    if application["rollout_steps"] and not versioned:
        raise InvalidApplication(
            f"{where}: rollout_steps without versioning; set versioning to worker_deployment, or remove them."
        )
    shares = [int(step.get("percentage", 0)) for step in application["rollout_steps"]]
    if shares != sorted(set(shares)) or any(not 1 <= share <= 100 for share in shares):
        raise InvalidApplication(f"{where}: the percentages of rollout_steps are {shares}; they rise from 1 up to 100.")
    sockets = [process["name"] for process in application["processes"] if process.get("socket")]
    if sockets and not application["port"]:
        raise InvalidApplication(f"{where}: process {sockets[0]} has a socket, and the application no port; set port.")
    if len(sockets) > 1:
        raise InvalidApplication(
            f"{where}: the processes {' and '.join(sockets)} have a socket; the application's port can be that of one."
        )


def reserved(application: t.Mapping[str, t.Any], variable: str, processes: t.Collection[str]) -> str:
    """Whose variable this is, when those of a process must not have its name; else empty.

    :param application: at least its ``runtime``.
    :param processes: names of the processes that have it: of a process, PM2 replaces the variable that has its own name.
    """
    if application.get("runtime", DEFAULTS["runtime"]) == "systemd":
        if variable in SYSTEMD_NAMES:
            return "which systemd has for its own: the program learns from it how it was started"
        if variable in BUILD and application.get("versioning", DEFAULTS["versioning"]) != "none":
            return "which this collection sets: it tells the worker which build of the worker deployment it is"
        return ""
    if variable == DEFINITION:
        return "which this collection sets: it tells the declaration that a process was started from"
    if variable in (INDEX, *PM2_NAMES):
        return "which PM2 has for its own: it would change the value, or how it runs the process"
    return "which is the name of a process that has it: PM2 would replace the value" if variable in processes else ""


def _refuse_reserved(
    where: str, application: t.Mapping[str, t.Any], environment: t.Mapping[str, t.Any], processes: t.Collection[str]
) -> None:
    for variable in (v for v, value in environment.items() if value is not None):
        if owner := reserved(application, variable, processes):
            instead = ", or set runtime to systemd" if application["runtime"] == "pm2" else ""
            raise InvalidApplication(
                f"{where} has the variable {variable}, {owner}; expected another name. Rename the variable{instead}."
            )


def _check_variables(application: t.Mapping[str, t.Any]) -> None:
    """:raises InvalidApplication: a variable that what runs the processes has for something else."""
    where, processes = f"application {application['name']}", application["processes"]
    of_all = {**dict.fromkeys(application["temporal_address_variables"], ""), **application["environment"]}
    _refuse_reserved(f"{where}: environment", application, of_all, [process["name"] for process in processes])
    for process in processes:
        name = process["name"]
        _refuse_reserved(f"{where}, process {name}: environment", application, process["environment"], [name])


def check_base(application: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any]) -> None:
    """The same of the variables that every process of a host gets from an option of a role.

    :param application: normalised.
    :raises InvalidApplication: see :func:`reserved`.
    """
    options = f"{application['runtime']}_worker_environment or app_release_environment"
    names = [process["name"] for process in application["processes"]]
    _refuse_reserved(f"application {application['name']}: {options}", application, base, names)


def _check_place(name: str, root: str) -> None:
    """:raises InvalidApplication: the root of an application is not its own."""
    parts = root.split("/")[1:]
    own = root.startswith("/") and len(parts) > 1 and not {"", ".", ".."} & set(parts)
    state = parts[:1] == ["var"] and (
        len(parts) < 3 or parts[1] in SHARED_STATE or (parts[1] == "lib" and parts[2] in SYSTEM_STATE)
    )
    taken = parts[:1] == ["opt"] and not {*parts[1:2]}.isdisjoint(TAKEN)
    if not own or parts[0] in SYSTEM_PLACES or state or taken:
        raise InvalidApplication(
            f"application {name}: root is {root!r}; expected a directory of its own such as /opt/{name}/workflow."
        )


def normalise(declared: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An application with its defaults and its places on the host filled in.

    :param declared: what the user wrote in ``topology_applications``.
    :raises InvalidApplication: what cannot work, with application, found and expected.
    """
    name = str(declared.get("name", ""))
    if not NAME.fullmatch(name):
        raise InvalidApplication(
            f"an application's name is {name!r}; expected lower-case letters, digits and single hyphens, "
            "such as order-processing."
        )
    if name in RESERVED:
        raise InvalidApplication(
            f"an application's name is {name!r}, which the system or this collection uses; expected another, such as "
            f"{name}-jobs."
        )
    application: dict[str, t.Any] = {
        "name": name,
        **DEFAULTS,
        "root": f"/opt/{name}/workflow",
        **{k: v for k, v in declared.items() if v is not None},
    }
    application["root"] = root = str(application["root"]).rstrip("/")
    _check_place(name, root)
    if application["user"] == "root":
        raise InvalidApplication(f"application {name}: user is root; applications run as a user without rights.")
    for option in ("user", "group"):
        if option in application and not ACCOUNT_NAME.fullmatch(str(application[option])):
            raise InvalidApplication(
                f"application {name}: {option} is {application[option]!r}; expected up to 32 lower-case letters, digits, "
                "hyphens and underscores, such as workflow."
            )
    for option, choices in CHOICES.items():
        if application[option] not in (*choices, DEFAULTS[option]):
            raise InvalidApplication(
                f"application {name}: {option} is {application[option]!r}; expected {' or '.join(choices)}."
            )
    for directory in application["writable"]:
        if not WRITABLE.fullmatch(str(directory)) or directory in OF_RELEASES:
            raise InvalidApplication(
                f"application {name}: writable is {directory!r}; expected names of directories of its own at the root of a "
                "release, such as uploads, without /."
            )
    application.setdefault("group", application["user"])
    if application["group"] in PRIVILEGED_GROUPS:
        raise InvalidApplication(
            f"application {name}: group is {application['group']}, whose members can do what applications must not; "
            "expected one without such rights."
        )
    runtime = application["runtime"]
    application["processes"] = [_process(name, runtime, process) for process in application["processes"]]
    application["dependencies"] = application["dependencies"] or _dependencies(runtime, application["processes"])
    names = [process["name"] for process in application["processes"]]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise InvalidApplication(f"application {name}: process {', '.join(twice)} is declared twice.")
    _check_together(application)
    _check_variables(application)
    application.update(
        current=f"{root}/current",
        releases=f"{root}/releases",
        shared=f"{root}/shared",
        home=f"{STATE}/home/{name}",
        pm2_home=f"{STATE}/home/{name}/.pm2",
        unit=f"{name}-pm2.service",
        configuration=f"{CONFIGURATION}/{name}",
        ecosystem=f"{CONFIGURATION}/{name}/ecosystem.config.json",
        crash_log=f"{CONFIGURATION}/{name}/crash-log.cjs",
        logs=f"/var/log/pm2/{name}",
    )
    return application


def candidate_queue(queue: str, release: str) -> str:
    """The task queue that only the candidate of a release polls."""
    return f"{queue}{CANDIDATE}-{release}"
