# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that know nothing of this collection: deployed twice, rolled back, a broken version refused.

They have their task queue, their port and the address of Temporal in their code, and tell nobody when they are ready. What
docs/applications.md names for that is declared, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from play import ROOT, Run, play
from releases import PACKAGE
from test_bad_days import eventually

OnVm = Callable[..., str]
SAMPLES = ROOT / "tests" / "samples"
WHEELS = ROOT / "examples" / "approvals" / "approvals.tar.gz"
GO = ["go", "build", "-C", str(ROOT / "examples" / "onboarding"), "-trimpath", "-buildvcs=false"]
NAMES = ("hello-js", "hello-python", "hello-go")


def application(name: str, artifact: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "user": name,
        "artifact": str(artifact),
        "task_queues": [name],
        "namespace": "default",
        "candidate": False,
        **more,
    }


def declared(artifacts: Mapping[str, Path]) -> dict[str, Any]:
    """What a user of these programs writes, besides what the platform has."""
    js = application(
        "hello-js",
        artifacts["hello-js"],
        port=3050,
        server_name="hello.example",
        health_url="http://127.0.0.1:3050/healthz",
        processes=[
            {"name": "hello-worker", "script": "src/worker.js", "wait_ready": False},
            {"name": "hello-server", "script": "src/server.js", "wait_ready": False},
        ],
    )
    python = application(
        "hello-python",
        artifacts["hello-python"],
        runtime="systemd",
        dependencies="wheels",
        processes=[{"name": "worker", "command": ["venv/bin/python", "worker.py"], "notify": False}],
    )
    go = application(
        "hello-go",
        artifacts["hello-go"],
        runtime="systemd",
        dependencies="none",
        processes=[{"name": "worker", "command": ["bin/hello"], "notify": False}],
    )
    return {
        "topology_applications": ["{{ local_application }}", js, python, go],
        "topology_namespaces": [{"name": name, "retention": "3d"} for name in ("order-processing", "default")],
    }


@dataclass(frozen=True)
class Source:
    """The files of a program's package, by path."""

    files: Mapping[str, bytes]

    def pack(self, target: Path, **edits: bytes | str) -> Path:
        """A package of these files and of others, whose names have ``__`` for a slash and ``_dot_`` for a dot."""
        named = {key.replace("__", "/").replace("_dot_", "."): value for key, value in edits.items()}
        with tarfile.open(target, "w:gz") as out:
            for path, content in {**self.files, **named}.items():
                data = content.encode() if isinstance(content, str) else content
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(data), 0o755 if path.startswith("bin/") else 0o644
                out.addfile(member, io.BytesIO(data))
        return target


def taken(package: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Files of a package of an example: its dependencies."""
    with tarfile.open(package) as source:
        members = {member.name.removeprefix("./"): member for member in source if member.isfile()}
        found = {name: source.extractfile(member) for name, member in members.items() if wanted(name)}
        return {name: file.read() for name, file in found.items() if file}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    if not WHEELS.exists():
        subprocess.run([ROOT / "scripts" / "approvals-package"], check=True)
    js = taken(PACKAGE, lambda name: name in ("package.json", "package-lock.json"))
    js["package.json"] = json.dumps({**json.loads(js["package.json"]), "type": "module"}).encode()
    js |= {f"src/{path.name}": path.read_bytes() for path in (SAMPLES / "hello-js" / "src").iterdir()}
    python = taken(WHEELS, lambda name: name == "requirements.lock" or name.startswith("wheels/"))
    python["worker.py"] = (SAMPLES / "hello-python" / "worker.py").read_bytes()
    built = tmp_path_factory.mktemp("go") / "hello"
    subprocess.run([*GO, "-o", str(built), str(SAMPLES / "hello-go" / "main.go")], check=True)
    return {
        "hello-js": Source(js),
        "hello-python": Source(python),
        "hello-go": Source({"bin/hello": built.read_bytes()}),
    }


@pytest.fixture(scope="module")
def first(sources: Mapping[str, Source], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("first")
    return {name: source.pack(folder / f"{name}.tar.gz") for name, source in sources.items()}


@pytest.fixture(scope="module")
def second(sources: Mapping[str, Source], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("second")
    return {name: source.pack(folder / f"{name}.tar.gz", CHANGES="second\n") for name, source in sources.items()}


BROKEN: Mapping[str, Mapping[str, str]] = {
    "hello-js": {"src__worker_dot_js": "throw new Error('broken on purpose');\n"},
    "hello-python": {"worker_dot_py": "raise SystemExit('broken on purpose')\n"},
    "hello-go": {"bin__hello": "#!/bin/sh\necho broken on purpose\nexit 1\n"},
}


class Host:
    def __init__(self, on_vm: OnVm) -> None:
        self.on_vm = on_vm

    def live(self) -> dict[str, str]:
        return {
            name: self.on_vm(f"basename $(readlink -f /opt/order-processing/{name}/current)").strip() for name in NAMES
        }

    def greets(self) -> None:
        """Each program does a workflow."""
        for name in NAMES:
            started = (
                f"temporal workflow execute --namespace default --task-queue {name} --type hello --input '\"Ada\"'"
            )
            assert "Hello, Ada!" in self.on_vm(f"timeout 60 {started} --workflow-id {name}-$(date +%s%N)"), name
        said = lambda: self.on_vm("curl -s http://127.0.0.1:3050/hello/Ben", check=False) == "Hello, Ben!"  # noqa: E731
        eventually("the server greets", said, 30)


@pytest.fixture(scope="module")
def host(on_vm: OnVm, inventory: Path) -> Iterator[Host]:
    yield Host(on_vm)
    for name in NAMES:
        gone = play(
            "remove", inventory, extra={"remove_application": name, "remove_data": True, "remove_confirm": name}
        )
        assert gone.rc == 0, gone.failure


def test_they_deploy_twice_and_go_back(
    inventory: Path, host: Host, first: Mapping[str, Path], second: Mapping[str, Path]
) -> None:
    site = play("site", inventory, extra=declared(first))
    assert site.rc == 0, site.failure
    done(play("deploy", inventory, extra=declared(first)))
    host.greets()
    before = host.live()
    done(play("deploy", inventory, extra=declared(second)))
    host.greets()
    after = host.live()
    assert not set(before.values()) & set(after.values())
    done(play("status", inventory, extra=declared(second)))
    for name in NAMES:
        done(play("rollback", inventory, extra={**declared(second), "rollback_application": name}))
    assert host.live() == before
    host.greets()


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_version_does_not_stay(
    inventory: Path, host: Host, sources: Mapping[str, Source], first: Mapping[str, Path], tmp_path: Path, name: str
) -> None:
    before = host.live()
    broken = sources[name].pack(tmp_path / f"{name}.tar.gz", **BROKEN[name])
    run = play("deploy", inventory, extra={**declared({**first, name: broken}), "deploy_application": name})
    assert run.rc != 0
    assert "broken on purpose" in run.failure
    assert host.live() == before
    host.greets()


# A package with native code, as its author's install script makes it. It says the token, as scripts that go wrong do.
NATIVE = {
    "package/package.json": json.dumps(
        {"name": "native", "version": "1.0.0", "main": "index.js", "scripts": {"install": "node build.js"}}
    ),
    "package/binding.gyp": "{}",
    "package/index.js": "",
    "package/build.js": """
const fs = require('fs');
if (!process.env.HELLO_TOKEN) throw new Error('no token');
fs.mkdirSync('build/Release', { recursive: true });
fs.writeFileSync('build/Release/native.node', 'built');
""",
}
TOKEN = "canary-of-npm"


@pytest.fixture
def with_native(sources: Mapping[str, Source], tmp_path: Path) -> dict[str, bytes | str]:
    """What the JavaScript program's package has more, so that it depends on a package with native code and a registry that
    asks for a token.
    """
    tarball = Source({path: text.encode() for path, text in NATIVE.items()}).pack(tmp_path / "native.tgz").read_bytes()
    digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    manifest = json.loads(sources["hello-js"].files["package.json"])
    lock = json.loads(sources["hello-js"].files["package-lock.json"])
    manifest["dependencies"]["native"] = lock["packages"][""]["dependencies"]["native"] = "file:native.tgz"
    lock["packages"]["node_modules/native"] = {
        "version": "1.0.0",
        "resolved": "file:native.tgz",
        "integrity": f"sha512-{digest}",
        "hasInstallScript": True,
    }
    return {
        "native_dot_tgz": tarball,
        "package_dot_json": json.dumps(manifest),
        "package-lock_dot_json": json.dumps(lock),
        "_dot_npmrc": "//npm.example.com/:_authToken=${HELLO_TOKEN}\n",
    }


def test_npm_has_what_is_declared_for_it_and_files_outlive_releases(
    inventory: Path,
    host: Host,
    sources: Mapping[str, Source],
    first: Mapping[str, Path],
    with_native: Mapping[str, bytes | str],
    on_vm: OnVm,
    tmp_path: Path,
) -> None:
    def deploy(package: Path, **more: Any) -> Run:
        extra = declared({**first, "hello-js": package})
        extra["topology_applications"][1] |= more
        return play("deploy", inventory, extra={**extra, "deploy_application": "hello-js"})

    before = host.live()
    package = sources["hello-js"].pack(tmp_path / "hello-js.tar.gz", **with_native)
    token = {"npm_environment": {"HELLO_TOKEN": TOKEN}}
    for options, told in (
        ({"install_scripts": ["native"]}, ".npmrc of the release reads HELLO_TOKEN"),
        (token, "native needs native code that an install script makes"),
        ({**token, "install_scripts": ["native", "nativ"]}, "install_scripts of the application names nativ"),
    ):
        refused = deploy(package, **options)
        assert refused.rc != 0
        assert told in refused.failure
        assert TOKEN not in refused.output
        assert host.live() == before

    options = {**token, "install_scripts": ["native"], "writable": ["uploads"]}
    home = "/opt/order-processing/hello-js"
    done(deploy(package, **options))
    assert on_vm(f"cat {home}/current/node_modules/native/build/Release/native.node") == "built"
    on_vm(f"sudo -u hello-js sh -c 'echo kept > {home}/current/uploads/file'")
    on_vm(f"! grep -rqs {TOKEN} {home} /etc /var/log /var/lib/durable-temporal /proc/[0-9]*/environ")
    done(deploy(sources["hello-js"].pack(tmp_path / "next.tar.gz", **with_native, CHANGES="third"), **options))
    assert host.live()["hello-js"] != before["hello-js"]
    assert on_vm(f"cat {home}/current/uploads/file").strip() == "kept"
    host.greets()


def done(run: Run) -> None:
    assert run.rc == 0, run.failure
