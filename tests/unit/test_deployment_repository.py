# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user's own repository holds: its scripts refuse what nobody should give them, and keep keys off the disk."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "deployment"
ACTION = ROOT / ".github" / "actions" / "deploy"
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *EXAMPLE.glob(".github/workflows/*.yml")])
OWN = "durable-temporal/durable.temporal/"
DIGEST = "0" * 64
# In place of Ansible: shows its arguments, and the variables as Ansible would read them.
ANSIBLE = '#!/bin/sh\nprintf "%s\\n" "$*"\nfor last; do :; done\ncat "${last#@}"\n'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the example in which Ansible only says what it was asked to do."""
    place = tmp_path / "repository"
    shutil.copytree(EXAMPLE, place, symlinks=True)
    ansible = place / ".venv" / "bin" / "ansible-playbook"
    ansible.parent.mkdir(parents=True)
    ansible.write_text(ANSIBLE)
    ansible.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    return place


def run(repository: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "DEPLOY_", "SSH_"))}
    env = {**clean, "RUNNER_TEMP": str(repository.parent / "temporary"), **environment}
    return subprocess.run(command, cwd=repository, env=env, check=False, capture_output=True, text=True, timeout=60)


def variables(output: str) -> t.Any:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!unsafe", lambda loader, node: f"unsafe:{loader.construct_scalar(t.cast('t.Any', node))}")
    return yaml.load(output.split("\n", 1)[1], Loader)


def built(repository: Path) -> tuple[str, str]:
    file = repository / "build" / "order-processing.tar.gz"
    file.parent.mkdir()
    file.write_bytes(b"a build")
    return "build/order-processing.tar.gz", hashlib.sha256(b"a build").hexdigest()


def test_a_deployment_names_file_digest_commit_and_reason(repository: Path) -> None:
    file, digest = built(repository)
    reason = """it's "{{ lookup('pipe', 'id') }}" \\ $(id)"""
    done = run(
        repository, "scripts/deploy", "staging", "order-processing", file, digest, reason,
        GITHUB_SHA="abc", GITHUB_REPOSITORY="me/shop",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("-i inventories/staging deploy.yml --extra-vars @")
    assert variables(done.stdout) == {
        "deploy_application": "order-processing",
        "deploy_reason": f"unsafe:{reason}",
        "builds": {
            "order-processing": {
                "artifact": f"unsafe:{repository / file}",
                "artifact_sha256": digest,
                "source": "unsafe:me/shop@abc",
            }
        },
    }
    assert not list((repository.parent / "temporary").iterdir())


def test_a_rollback_names_release_and_reason(repository: Path) -> None:
    done = run(repository, "scripts/rollback", "production", "order-processing", "20260101000000-0a1b2c3d", "bad day")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("-i inventories/production rollback.yml --extra-vars @")
    assert variables(done.stdout) == {
        "rollback_application": "order-processing",
        "rollback_release": "20260101000000-0a1b2c3d",
        "rollback_reason": "unsafe:bad day",
    }


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["deploy", "staging", "order-processing", "build/order-processing.tar.gz", DIGEST], "has the digest"),
        (["deploy", "staging", "order-processing", "build/order-processing.tar.gz", "short"], "64 hexadecimal"),
        (["deploy", "staging", "order-processing", "nowhere.tar.gz", DIGEST], "no file nowhere.tar.gz"),
        (["deploy", "staging", "Orders;id", "build/order-processing.tar.gz", DIGEST], "lower-case letters"),
        (["rollback", "staging", "order-processing", "$(touch owned)"], "the id of a release"),
        (["rollback", "staging", "order-processing", "1; touch owned"], "the id of a release"),
        (["rollback", "staging", "order-processing", "{{ owned }}"], "the id of a release"),
        (["rollback", "staging", "order-processing", "1\n- touch"], "the id of a release"),
        (["rollback", "staging", "order-processing", "--check"], "the id of a release"),
        (["rollback", "staging", "order-processing", "previous", "two\nlines"], "one line"),
        (["rollback", "../elsewhere", "order-processing"], "a directory below inventories"),
        (["rollback", "stage", "order-processing"], "there is: production/ staging/"),
        (["rollback", "staging"], "usage:"),
        (["package", "../services"], "lower-case letters"),
        (["package", "unknown"], "no executable services/unknown/package"),
    ],
)
def test_what_nobody_should_give_is_refused(repository: Path, command: list[str], said: str) -> None:
    built(repository)
    done = run(repository, f"scripts/{command[0]}", *command[1:])
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""
    assert not list(repository.rglob("owned"))


def test_a_package_says_its_file_and_digest_to_the_next_step(repository: Path) -> None:
    program = repository / "services" / "order-processing" / "package"
    program.write_text('#!/bin/sh\nprintf "a build" >"$1"\n')
    output = repository.parent / "output"
    done = run(repository, "scripts/package", "order-processing", GITHUB_OUTPUT=str(output))
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(b"a build").hexdigest()
    assert output.read_text() == f"artifact=build/order-processing.tar.gz\nsha256={digest}\n"
    program.write_text("#!/bin/sh\nexit 3\n")
    failed = run(repository, "scripts/package", "order-processing", GITHUB_OUTPUT=str(output))
    assert failed.returncode == 3, "a build that fails is not packed"


def ends(pid: int, seconds: float = 10) -> bool:
    """Whether a process that was told to end is gone, or waits for its parent only, within this time."""
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if "State:\tZ" in status.read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    if not shutil.which("ssh-keygen"):
        pytest.skip("needs OpenSSH's client")
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path.read_text()


def test_a_session_has_the_key_in_an_agent_only_as_long_as_it_lasts(repository: Path, key: str) -> None:
    script = 'ssh-add -l; echo "agent $SSH_AGENT_PID"; env; cat "${ANSIBLE_SSH_COMMON_ARGS##*=}"; grep -rl OPENSSH "$PWD" "$RUNNER_TEMP"'
    done = run(
        repository, "scripts/session", "sh", "-c", f"{script} || :", GITHUB_ACTIONS="true",
        DEPLOY_SSH_KEY=key, DEPLOY_KNOWN_HOSTS="10.0.0.1 ssh-ed25519 AAAA", DEPLOY_SECRETS="DURABLE_SECRET_A=b c=d\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(ED25519)" in done.stdout
    assert "StrictHostKeyChecking=yes" in done.stdout
    assert "10.0.0.1 ssh-ed25519 AAAA" in done.stdout
    assert "DURABLE_SECRET_A=b c=d\n" in done.stdout
    assert "::add-mask::b c=d\n" in done.stdout
    assert "PRIVATE KEY" not in done.stdout
    assert "DEPLOY_" not in done.stdout
    assert str(repository.parent) not in done.stdout.rsplit("AAAA", 1)[1], "the key is on the disk"
    agent = re.search(r"^agent (\d+)$", done.stdout, re.MULTILINE)
    assert agent
    assert ends(int(agent[1])), "the agent outlives the session"
    assert not list((repository.parent / "temporary").iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"DEPLOY_SSH_KEY": ""}, "DEPLOY_SSH_KEY is empty"),
        ({"DEPLOY_SSH_KEY": "nonsense"}, "not a private key"),
        ({"DEPLOY_KNOWN_HOSTS": ""}, "DEPLOY_KNOWN_HOSTS is empty"),
        ({"DEPLOY_SECRETS": "LD_PRELOAD=/tmp/evil.so"}, "a line of DEPLOY_SECRETS"),
    ],
)
def test_a_session_without_what_it_needs_does_not_begin(
    repository: Path, key: str, change: dict[str, str], said: str
) -> None:
    given = {"DEPLOY_SSH_KEY": key, "DEPLOY_KNOWN_HOSTS": "10.0.0.1 ssh-ed25519 AAAA", **change}
    done = run(repository, "scripts/session", "echo", "begun", **given)
    assert done.returncode == 1
    assert said in done.stderr
    assert "begun" not in done.stdout


def test_a_session_ends_as_its_command_ends(repository: Path, key: str) -> None:
    given = {"DEPLOY_SSH_KEY": key, "DEPLOY_KNOWN_HOSTS": "10.0.0.1 ssh-ed25519 AAAA"}
    assert run(repository, "scripts/session", "sh", "-c", "exit 7", **given).returncode == 7


def test_ansible_is_locked_as_it_is_tested() -> None:
    here = (ROOT / "requirements" / "controller.txt").read_text().splitlines()
    tested = {line.split(" ;")[0] for line in here}
    theirs = [line for line in (EXAMPLE / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(theirs) <= tested
    collection = yaml.safe_load((EXAMPLE / "requirements.yml").read_text())["collections"][0]
    assert collection["version"] == yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]


def steps(path: Path) -> list[dict[str, t.Any]]:
    document = yaml.safe_load(path.read_text())
    if "runs" in document:
        return list(document["runs"]["steps"])
    jobs = document["jobs"].values()
    return [job for job in jobs if "uses" in job] + [step for job in jobs for step in job.get("steps", [])]


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION / "action.yml"], ids=lambda p: str(p.relative_to(ROOT)))
def test_workflows_run_pinned_actions_and_scripts(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "an input in a script's text would be run"
        if "uses" not in step:
            continue
        name, _at, commit = step["uses"].partition("@")
        assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{name} is not pinned to a commit"
        if name.startswith(OWN):
            _is_in_history(commit, name.removeprefix(OWN))


def _is_in_history(commit: str, path: str) -> None:
    """The commit of this repository holds what is used of it, as far as this checkout knows its history."""
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, check=False, capture_output=True
    )
    if known.returncode == 0:
        subprocess.run(["git", "cat-file", "-e", f"{commit}:{path}"], cwd=ROOT, check=True, capture_output=True)


def test_deployments_wait_for_each_other_and_have_few_rights() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/deploy-application.yml").read_text())["jobs"]["run"]
    assert job["concurrency"]["cancel-in-progress"] is False
    assert job["environment"] == "${{ inputs.environment }}"
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    deploy = yaml.safe_load((EXAMPLE / ".github/workflows/deploy.yml").read_text())
    assert deploy["jobs"]["production"]["needs"] == ["build", "staging"]
    assert deploy[True]["push"] == {"branches": ["main"], "paths": ["services/order-processing/**"]}
    assert "workflow_dispatch" in deploy[True]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_inventories_share_the_applications(environment: str) -> None:
    shared = EXAMPLE / "inventories" / environment / "group_vars" / "all" / "applications.yml"
    assert shared.resolve() == EXAMPLE / "inventories" / "applications.yml"
