# SPDX-License-Identifier: GPL-3.0-or-later
"""The command pm2 of a host: which daemon it talks to. The commands of the applications are stand-ins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / "roles" / "pm2_worker" / "files" / "pm2-of-host.sh"
MARK = "# Managed by Ansible (durable.temporal.pm2_worker)."
SEVERAL = ["orders", "parcels"]


def pm2(place: Path, applications: list[str], *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call it on a host with these applications."""
    for name in set(SEVERAL) - set(applications):
        (place / f"{name}-pm2").unlink(missing_ok=True)
    command = place / "pm2"
    command.write_text(COMMAND.read_text())
    command.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [command, *arguments], capture_output=True, text=True, env=environment, timeout=30, check=False
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in SEVERAL:
        stand_in = tmp_path / f"{name}-pm2"
        stand_in.write_text(
            f'#!/bin/sh\n{MARK}\nprintf "%s" "{name}"; printf " <%s>" "$@"; echo\n[ "$1" != fail ] || exit 7\n'
        )
        stand_in.chmod(0o755)
    # What is called so and is somebody else's.
    (tmp_path / "other-pm2").write_text("#!/bin/sh\necho other\n")
    (tmp_path / "other-pm2").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [["status"], ["show", "workflow-worker"], ["logs", "--lines", "5 0"], ["jlist"], []]
)
def test_the_only_application_is_meant(place: Path, arguments: list[str]) -> None:
    done = pm2(place, ["orders"], *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "orders" + "".join(f" <{word}>" for word in arguments or [""]) + "\n"


def test_how_it_ends_is_how_pm2_ends(place: Path) -> None:
    assert pm2(place, ["orders"], "fail").returncode == 7


@pytest.mark.parametrize("listing", ["status", "list", "ls", "l", "ps"])
def test_a_listing_is_of_all_applications(place: Path, listing: str) -> None:
    done = pm2(place, SEVERAL, listing)
    assert done.stdout.splitlines() == ["== orders", f"orders <{listing}>", "== parcels", f"parcels <{listing}>"]


@pytest.mark.parametrize("command", ["jlist", "logs", "restart", "delete"])
def test_anything_else_asks_which(place: Path, command: str) -> None:
    done = pm2(place, SEVERAL, command, "all")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"pm2: which application? This host has: orders parcels. Say pm2 --app NAME {command}, or set PM2_APP\n"
    )


def test_one_may_be_named(place: Path) -> None:
    assert pm2(place, SEVERAL, "--app", "parcels", "jlist").stdout == "parcels <jlist>\n"
    assert pm2(place, SEVERAL, "--app=parcels", "show", "x y").stdout == "parcels <show> <x y>\n"
    assert pm2(place, SEVERAL, "jlist", PM2_APP="orders").stdout == "orders <jlist>\n"
    assert pm2(place, SEVERAL, "--app", "parcels", "jlist", PM2_APP="orders").stdout == "parcels <jlist>\n"


@pytest.mark.parametrize(
    "arguments", [["--app", "parcel", "status"], ["--app", "orders-pm2", "status"], ["--app"], ["--app", ""]]
)
def test_a_name_that_is_not_known_is_refused(place: Path, arguments: list[str]) -> None:
    done = pm2(place, SEVERAL, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "orders parcels" in done.stderr


def test_an_application_that_is_gone_is_not_known(place: Path) -> None:
    (place / "orders-pm2").unlink()
    assert pm2(place, SEVERAL, "jlist").stdout == "parcels <jlist>\n"
    (place / "parcels-pm2").unlink()
    done = pm2(place, SEVERAL, "status")
    assert done.returncode == 2
    assert "no application under PM2" in done.stderr
