# SPDX-License-Identifier: GPL-3.0-or-later
"""An application goes from a host: in which order, what stays, and what stands in the way."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _registry, _systemd_units
from ansible_collections.durable.temporal.plugins.module_utils._application import normalise
from ansible_collections.durable.temporal.plugins.modules import application_removal as module

Json = dict[str, t.Any]
MARK = "# Managed by Ansible (durable.temporal.systemd_worker) for orders: x\n"
UNITS = (
    "orders-api.socket",
    "orders-api@r1.0a1b2c3d.1.service",
    "orders-worker@r1.0a1b2c3d.1.service",
    "orders-worker@r1.0a1b2c3d.2.service",
)


class KilledError(BaseException):
    """The run ends here, without a chance to do anything else."""


class Host:
    """A host below a directory, with a systemd that only writes down what it is told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[str] = []
        self.kill_at = -1
        self.refused = ""
        self.wait = 0
        self.systemd = _systemd_units.Systemd(str(root / "etc/systemd/system"))
        self.systemd.call = self.systemctl  # type: ignore[method-assign]
        for directory in ("etc/systemd/system", "run/lock", "etc/nginx/conf.d", "usr/local/bin", "etc/logrotate.d"):
            (root / directory).mkdir(parents=True)

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def write(self, absolute: str, text: str = "") -> None:
        self.path(absolute).parent.mkdir(parents=True, exist_ok=True)
        self.path(absolute).write_text(text)

    def _count(self, call: str) -> None:
        self.kill_at -= 1
        if self.kill_at == 0:
            raise KilledError
        self.calls.append(call)

    def systemctl(self, *arguments: str) -> str:
        verb, *names = (a for a in arguments if not a.startswith("--"))
        if verb == "show":
            return ""
        self._count(" ".join([verb, *names]))
        return ""

    def run(self, argv: t.Sequence[str]) -> None:
        self._count(" ".join(argv))
        if self.refused and self.refused in " ".join(argv):
            raise module.RemovalError(f"{self.refused} failed")

    def record(self, name: str = "orders", **fields: t.Any) -> None:
        declared = {"name": name, "root": f"/opt/{name}/workflow", "user": name, **fields}
        text = _registry.text(_registry.record(normalise(declared)))
        self.write(f"{_registry.RECORDS}/{name}.json", text)

    def data(self, name: str = "orders") -> None:
        for directory in ("releases/r1", "shared/cases", ".cache/pip", "theirs"):
            self.path(f"/opt/{name}/workflow/{directory}").mkdir(parents=True)
        self.path(f"/opt/{name}/workflow/current").symlink_to("releases/r1")
        self.write(f"/var/log/pm2/{name}/out.log")

    def systemd_application(self) -> None:
        self.record(runtime="systemd", dependencies="none", processes=[{"name": "worker", "command": ["bin/worker"]}])
        for unit in UNITS:
            self.write(f"/etc/systemd/system/{unit}", f"{MARK}[Service]\nTimeoutStopSec=900\n")
        self.write("/etc/systemd/system/orders-api-of-others.service", "[Unit]\n")
        self.write("/etc/nginx/conf.d/orders.conf", "# Written by Ansible; changes made here are lost.\n")
        self.write("/etc/durable-temporal/orders/worker.0a1b2c3d.env", "KEY=canary\n")
        self.data()

    def remove(self, part: str = "all", check: bool = False, name: str = "orders", **params: t.Any) -> Json:
        self.calls.clear()
        given = {
            "name": name,
            "declared": [],
            "known": [],
            "data": False,
            "wait_seconds": 1,
            "pm2": "/opt/pm2/bin/pm2",
            **params,
        }
        removal = module.Removal(given, self.systemd, self.run, str(self.root))
        return module.work(removal, part, check)

    def files(self) -> list[str]:
        return sorted(f"/{p.relative_to(self.root)}" for p in self.root.rglob("*") if p.is_file() or p.is_symlink())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    @contextlib.contextmanager
    def alone(_path: Path, _wait: float) -> Iterator[int]:
        yield 0

    monkeypatch.setattr(module, "alone", alone)
    monkeypatch.setattr(module._accounts, "ours", lambda name, system: name in ("orders", "shop"))
    return Host(tmp_path)


def test_a_host_in_front_of_those_that_run_it_lets_its_site_go(host: Host) -> None:
    site = host.path("/etc/nginx/conf.d/orders.conf")
    host.write("/etc/nginx/conf.d/orders.conf", "# Written by Ansible; changes made here are lost.\n")
    # Other hosts still run it.
    assert not host.remove("edge", known=["orders"])["changed"]
    assert host.remove("edge", check=True)["changed"]
    assert site.exists()
    done = host.remove("edge")
    assert (done["state"], done["changed"], site.exists()) == ("unknown", True, False)
    assert host.calls == ["nginx -t", "systemctl try-reload-or-restart nginx"]
    assert not host.remove()["changed"]
    # Where the first run was cut off.
    site.write_text("# Written by Ansible; changes made here are lost.\n")
    assert host.remove("all", data=True)["changed"]
    assert not site.exists()
    site.write_text("server {}\n")
    assert not host.remove("edge")["changed"], "it is somebody else's"


def test_the_edge_lets_go_first_then_what_answers_then_the_workers(host: Host) -> None:
    host.systemd_application()
    assert host.remove(check=True)["changed"]
    assert host.calls == []
    assert host.remove("edge")["changed"]
    assert host.calls == ["nginx -t", "systemctl try-reload-or-restart nginx"]
    assert not host.path("/etc/nginx/conf.d/orders.conf").exists()

    done = host.remove()
    assert [call for call in host.calls if call.startswith("stop")] == [
        "stop orders-api.socket",
        "stop orders-api@r1.0a1b2c3d.1.service",
        "stop orders-worker@r1.0a1b2c3d.1.service orders-worker@r1.0a1b2c3d.2.service",
    ]
    # Not cut short: units may take as long as was declared.
    assert host.systemd.timeout_seconds > 900
    assert (done["state"], done["changed"]) == ("present", True)
    assert [Path(path).name for path in done["kept"]] == ["current", "releases", "shared", ".cache", "orders"]
    assert host.files() == [
        "/etc/systemd/system/orders-api-of-others.service",
        "/opt/orders/workflow/current",
        "/var/lib/durable-temporal/applications/orders.json",
        "/var/log/pm2/orders/out.log",
    ]

    again = host.remove()
    assert (again["state"], again["changed"], host.calls) == ("removed", False, [])
    assert "canary" not in json.dumps([done, again])


def test_data_go_when_that_is_asked_for_and_what_others_put_there_stays(host: Host) -> None:
    host.systemd_application()
    host.remove()
    done = host.remove(data=True)
    assert (done["state"], done["kept"]) == ("removed", [])
    assert host.calls[-1] == "userdel orders"
    assert [path.name for path in host.path("/opt/orders/workflow").iterdir()] == ["theirs"]
    assert host.files() == ["/etc/systemd/system/orders-api-of-others.service"]
    assert host.remove()["state"] == "unknown"


def test_all_at_once_leaves_nothing(host: Host) -> None:
    host.systemd_application()
    host.path("/opt/orders/workflow/theirs").rmdir()
    host.remove(data=True)
    assert host.files() == ["/etc/systemd/system/orders-api-of-others.service"]
    assert not host.path("/opt/orders").exists()


def test_a_link_in_the_place_of_data_is_not_followed(host: Host) -> None:
    host.record()
    host.write("/srv/precious/file")
    host.path("/opt/orders/workflow").mkdir(parents=True)
    host.path("/opt/orders/workflow/shared").symlink_to(host.path("/srv/precious"))
    host.remove(data=True)
    assert host.files() == ["/srv/precious/file"]


@pytest.mark.parametrize("other", [{}, {"removed": "2026-01-01T00:00:00Z"}])
def test_a_user_that_another_application_has_stays(host: Host, other: Json) -> None:
    host.record()
    host.write(
        f"{_registry.RECORDS}/shop.json", json.dumps({"name": "shop", "root": "/opt/shop", "user": "orders", **other})
    )
    host.remove(data=True)
    assert host.calls == []


def test_a_user_that_we_have_not_made_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.record()
    monkeypatch.setattr(module._accounts, "ours", lambda name, system: False)
    host.remove(data=True)
    assert host.calls == []


def test_what_is_declared_or_unknown_is_left_alone(host: Host) -> None:
    host.systemd_application()
    before = host.files()
    for name, declared, state in (("orders", ["orders"], "declared"), ("shop", [], "unknown")):
        for part in ("edge", "all"):
            done = host.remove(part, name=name, declared=declared, data=True)
            assert (done["state"], done["changed"], done["applications"]) == (state, False, ["orders"])
    assert host.files() == before


def test_files_of_others_with_such_names_stay(host: Host) -> None:
    host.record()
    pm2 = ("/usr/local/bin/orders-pm2", "/etc/logrotate.d/orders-pm2", "/etc/sudoers.d/orders-pm2")
    theirs = ("/etc/nginx/conf.d/orders.conf", *pm2)
    for path in (*theirs, "/etc/systemd/system/orders-pm2.service"):
        host.write(path, "theirs\n")
    host.remove(data=True)
    assert {*theirs, "/etc/systemd/system/orders-pm2.service"} <= {*host.files()}
    assert host.calls == ["userdel orders"]


def test_units_of_an_application_with_the_same_prefix_stay(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """``orders`` has a process ``api-x``; ``orders-api`` has a process ``x``, which runs."""
    other = "orders-api-x@r1.0a1b2c3d.1.service"
    processes = [{"name": "api-x", "command": ["bin/x"]}]
    host.record(runtime="systemd", dependencies="none", processes=processes)
    host.write("/etc/systemd/system/orders-api-x@r1.00000000.1.service", MARK)
    host.write(f"/etc/systemd/system/{other}", MARK.replace(" orders:", " orders-api:"))
    call = host.systemd.call

    def shows(*arguments: str) -> str:
        return f"Id={other}\nActiveState=active\n" if arguments[0] == "show" else call(*arguments)

    monkeypatch.setattr(host.systemd, "call", shows)
    host.remove()
    assert [path.name for path in host.path("/etc/systemd/system").iterdir()] == [other]
    assert not any(other in line for line in host.calls)


def test_data_that_another_application_uses_are_not_removed(host: Host) -> None:
    host.record()
    host.record("shop", root="/opt/orders/workflow")
    host.data()
    with pytest.raises(module.RemovalError, match="/opt/orders/workflow is also the root of shop"):
        host.remove(data=True)
    assert host.remove()["changed"]


def test_a_deployment_that_is_at_work_is_waited_for(host: Host) -> None:
    host.systemd_application()
    lock = {"by": "ann", "run": "1", "since": time.time(), "touched": time.time(), "step": "switch"}
    host.write("/opt/orders/workflow/.lock", json.dumps(lock))
    with pytest.raises(module.RemovalError, match=r"a deployment by ann holds its lock; its last step \(switch\)"):
        host.remove()
    assert host.calls == []
    host.write("/opt/orders/workflow/.lock", json.dumps({**lock, "touched": time.time() - 3600}))
    assert host.remove()["changed"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_record_that_cannot_be_read_stops_it(host: Host, lost: bool) -> None:
    host.write("/etc/systemd/system/orders-pm2.service", f"{_registry.PM2_MARK}.\n")
    if not lost:
        host.write(f"{_registry.RECORDS}/orders.json", "{")
    with pytest.raises(module.RemovalError, match=r"orders\.json cannot be read"):
        host.remove()


def test_what_nginx_refuses_is_put_back(host: Host) -> None:
    host.systemd_application()
    host.refused = "nginx -t"
    with pytest.raises(module.RemovalError):
        host.remove("edge")
    assert host.path("/etc/nginx/conf.d/orders.conf").is_file()
    assert host.calls == ["nginx -t"]


@pytest.mark.parametrize("data", [False, True])
def test_a_removal_that_is_cut_off_anywhere_is_finished_by_the_next(tmp_path: Path, data: bool, host: Host) -> None:
    for kill_at in range(1, 40):
        each = Host(tmp_path / str(kill_at))
        each.systemd_application()
        each.kill_at = kill_at
        try:
            each.remove(data=data)
        except KilledError:
            assert each.remove(check=True, data=data)["changed"]
            each.remove(data=data)
        else:
            break
        assert "/etc/systemd/system/orders-api.socket" not in each.files()
        assert each.path(f"{_registry.RECORDS}/orders.json").exists() != data
        assert not each.remove(data=data)["changed"]
        assert not [path for path in each.files() if "nginx" in path]
    assert kill_at > 10


class FakeDaemon:
    """A PM2 daemon with an API in cluster mode, one that listens itself, and a worker."""

    ended: t.ClassVar[list[list[str]]] = []
    running = True

    def __init__(self, application: Json, pm2: str, timeout_seconds: float) -> None:
        self.application, self.timeout = application, timeout_seconds
        FakeDaemon.latest = self

    latest: t.ClassVar[FakeDaemon]

    @contextlib.contextmanager
    def alone(self, _wait: float) -> Iterator[None]:
        yield

    def runs(self) -> bool:
        return FakeDaemon.running

    def settled(self, _wait: float) -> list[SimpleNamespace]:
        names = ("worker", "api", "web")
        return [SimpleNamespace(name=name, number=str(n), pid=100 + n) for n, name in enumerate(names)]

    def end(self, numbers: list[str]) -> None:
        FakeDaemon.ended.append(numbers)


@pytest.mark.parametrize("running", [True, False])
def test_pm2_ends_what_answers_before_the_workers(host: Host, monkeypatch: pytest.MonkeyPatch, running: bool) -> None:
    monkeypatch.setattr(module, "Daemon", FakeDaemon)
    monkeypatch.setattr(module, "listens", lambda pid: pid == 102)
    FakeDaemon.ended, FakeDaemon.running = [], running
    host.record()
    apps = [{"name": "api", "exec_mode": "cluster", "kill_timeout": 90000}, {"name": "worker"}]
    host.write("/etc/durable-temporal/orders/ecosystem.config.json", json.dumps({"apps": apps}))
    host.write("/etc/systemd/system/orders-pm2.service", f"{_registry.PM2_MARK}.\n")
    host.write("/usr/local/bin/orders-pm2", f"#!/bin/sh\n{_registry.PM2_MARK}.\n")
    host.write("/etc/logrotate.d/orders-pm2", f"{_registry.PM2_MARK}.\n")
    host.write("/etc/sudoers.d/orders-pm2", f"{_registry.PM2_MARK}.\n")
    (host.root / "var/log/pm2").mkdir(parents=True)
    for owner in ("orders", "parcels"):
        (host.root / f"var/log/pm2/{owner}-out.log").symlink_to(f"{owner}/{owner}-out.log")
    host.write("/var/lib/durable-temporal/orders-pm2.service", "digest\n")
    host.write("/var/lib/durable-temporal/home/orders/.pm2/dump.pm2", "canary")
    host.remove()
    assert FakeDaemon.ended == ([["1", "2"], ["0"]] if running else [])
    # So that it does not come back when the host is restarted meanwhile.
    assert host.calls[0] == "disable orders-pm2.service"
    assert "stop orders-pm2.service" in host.calls
    assert FakeDaemon.latest.timeout == 91
    assert [path.name for path in (host.root / "var/log/pm2").iterdir()] == ["parcels-out.log"]
    (host.root / "var/log/pm2/parcels-out.log").unlink()
    assert host.files() == ["/var/lib/durable-temporal/applications/orders.json"]
