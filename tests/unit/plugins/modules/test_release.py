# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release as Ansible calls it, on a real directory with an npm that does nothing."""

from __future__ import annotations

import contextlib
import errno
import getpass
import io
import json
import socket
import subprocess
import tarfile
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.action.release import deployer
from ansible_collections.durable.temporal.plugins.module_utils._dependencies import Npm
from ansible_collections.durable.temporal.plugins.module_utils._lock import Lock
from ansible_collections.durable.temporal.plugins.modules import release

Json = dict[str, t.Any]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nmkdir node_modules\n")
    npm.chmod(0o755)
    monkeypatch.setattr(Npm, "node_version", lambda _self, _account: "v20.19.2")
    return tmp_path


def artifact(host: Path, name: str, **files: str) -> str:
    path = host / f"{name}.tar.gz"
    own = {"package.json": "{}", "package-lock.json": "{}", "dist/worker.js": name, **files}
    if not path.exists():
        with tarfile.open(path, "w:gz") as tar:
            for member, content in own.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content.encode()))
    return str(path)


ANNA = {"id": "build 10", "machine": "build", "pid": 10}
BEN = {"id": "laptop 11", "machine": "laptop", "pid": 11}


def run(
    host: Path, state: str = "live", check: bool = False, options: Json | None = None, **application: t.Any
) -> Json:
    values = {"name": "orders", "root": str(host / "app"), "user": getpass.getuser(), **application}
    options = {
        "applications": [values],
        "state": state,
        "remote_src": True,
        "by": "anna",
        "npm": str(host / "npm"),
        **(options or {}),
    }
    out = io.StringIO()
    with (
        patch_module_args({**options, "_ansible_check_mode": check}),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        mock.patch.object(release, "give_way"),
        pytest.raises(SystemExit),
    ):
        release.main()
    return t.cast("Json", json.loads(out.getvalue()))


def live(host: Path) -> str:
    return (host / "app/current").resolve().name


def log(host: Path) -> list[str]:
    return [json.loads(line)["action"] for line in (host / "app/shared/deploys.log").read_text().splitlines()]


def test_create_again_change_again_back_and_check(host: Path) -> None:
    predicted = run(host, check=True, artifact=artifact(host, "one"))
    assert predicted["changed"]
    assert not (host / "app").exists()

    first = run(host, artifact=artifact(host, "one"))
    assert first["changed"]
    assert first["diff"]["before"]["orders"] == {"live": "", "releases": []}
    assert first["live"] == {"orders": live(host)}
    assert first["switched"] == [{"name": "orders", "root": str(host / "app"), "release": live(host), "before": ""}]
    assert not run(host, artifact=artifact(host, "one"))["changed"]
    assert not run(host, check=True, artifact=artifact(host, "one"))["changed"]

    one = live(host)
    assert run(host, state="present", artifact=artifact(host, "two"))["changed"]
    assert live(host) == one
    second = run(host, artifact=artifact(host, "two"))
    assert second["applications"][0]["before"] == one
    assert second["applications"][0]["previous"] == one
    assert not run(host, artifact=artifact(host, "two"))["changed"]

    back = run(host, release="previous")
    assert (back["changed"], live(host)) == (True, one)
    assert log(host) == ["install", "live", "install", "live", "back"]


def test_a_rejected_release_gives_way_and_is_not_gone_back_to(host: Path) -> None:
    run(host, artifact=artifact(host, "one"))
    one = live(host)
    run(host, artifact=artifact(host, "two"))
    two = live(host)
    rejected = run(host, state="rejected", release=two)
    assert (rejected["applications"][0]["switched"], live(host)) == (True, one)
    assert rejected["diff"]["after"]["orders"] == {"live": one, "bad": {two: "rejected"}}
    assert not run(host, state="rejected", release=two)["changed"]
    failed = run(host, release="previous")
    assert failed["failed"]
    assert "no earlier release of orders to go back to" in failed["msg"]
    assert failed["msg"].endswith("Deploy the artifact of an earlier build.")
    assert f"{one} (live)" in failed["msg"]
    assert f"{two} (bad)" in failed["msg"]
    assert run(host, artifact=artifact(host, "two"))["live"] == {"orders": two}
    assert log(host)[-2:] == ["accept", "live"]


def test_a_rollback_that_fails_gives_way_to_what_served_before_it(host: Path) -> None:
    for name in ("one", "two", "three"):
        run(host, artifact=artifact(host, name))
    three = live(host)
    (switched,) = run(host, release="previous")["switched"]
    assert (live(host), switched["before"]) == (switched["release"], three)
    refused = run(host, state="rejected", **switched, options={"bad": False})
    assert (refused["live"]["orders"], "bad" in refused["diff"]["after"]["orders"]) == (three, False)
    (switched,) = run(host, release="previous")["switched"]
    run(host, state="rejected", **switched)
    assert live(host) == three
    run(host, release="previous")
    assert live(host) == run(host, state="present", artifact=artifact(host, "one"))["applications"][0]["release"]


def test_only_so_many_releases_are_kept(host: Path) -> None:
    for name in ("a", "b", "c", "d"):
        result = run(host, artifact=artifact(host, name), keep_releases=2)
    row = result["applications"][0]
    assert len(row["releases"]) == 2
    assert row["live"] in row["releases"]
    assert row["previous"] in row["releases"]


def test_refused_releases_do_not_fill_the_host(host: Path) -> None:
    good = run(host, artifact=artifact(host, "good"))["live"]["orders"]
    for name in ("a", "b", "c", "d", "e"):
        installed = run(host, state="present", artifact=artifact(host, name), keep_releases=3)["applications"][0]
        run(host, state="rejected", release=installed["release"])
        kept = sorted(each.name for each in (host / "app/releases").iterdir())
        # The one that was refused last can be looked at.
        assert {good, installed["release"]} <= set(kept)
        assert len(kept) <= 4
    assert log(host).count("delete") == 2


def test_builds_that_were_refused_go_before_one_that_was_rolled_back_and_can_return(host: Path) -> None:
    def at(second: int, **more: t.Any) -> Json:
        result: Json = run(host, options={"run": {"at": second}}, keep_releases=3, **more)
        return t.cast("Json", result["applications"][0])

    one = at(1, artifact=artifact(host, "one"))["live"]
    two = at(2, artifact=artifact(host, "two"))["live"]
    assert at(3, release="previous")["outcome"].endswith(f"-e rollback_release={two}")
    for second, name in enumerate(("a", "b", "c"), 4):
        at(second, state="present", artifact=artifact(host, name))
    assert {one, two} <= {each.name for each in (host / "app/releases").iterdir()}
    assert at(9, release=two)["live"] == two


def test_who_can_go_back_is_named_when_another_cannot(host: Path) -> None:
    for name in ("one", "two"):
        run(host, artifact=artifact(host, name), name="greeter", root=str(host / "greeter"))
    run(host, artifact=artifact(host, "one"))
    here = {"user": getpass.getuser(), "release": "previous"}
    orders = {**here, "name": "orders", "root": str(host / "app")}
    greeter = {**here, "name": "greeter", "root": str(host / "greeter")}
    before = (host / "greeter/current").resolve()
    for wanted in ([orders, greeter], [greeter, orders]):
        refused = run(host, options={"applications": wanted})
        assert "there is no earlier release of orders to go back to" in refused["msg"]
        assert (
            "Nothing was switched. greeter can go back: ansible-playbook -i INVENTORY rollback.yml -e "
            in refused["msg"]
        )
        assert " -e rollback_application=greeter." in refused["msg"]
    refused = run(host, options={"applications": [orders, {**orders, "name": "billing"}]})
    assert "Nothing was switched. No other application of this call can go back. " in refused["msg"]
    assert (host / "greeter/current").resolve() == before


def test_a_build_that_drains_keeps_its_release_until_it_ends(host: Path) -> None:
    first = run(host, artifact=artifact(host, "a"))["live"]["orders"]
    release = host / "app" / "releases" / first
    with subprocess.Popen(["sleep", "60"], cwd=release) as draining:
        for name in ("b", "c", "d"):
            run(host, artifact=artifact(host, name), keep_releases=2)
        assert release.is_dir()
        draining.kill()
    run(host, artifact=artifact(host, "e"), keep_releases=2)
    assert not release.exists()


@pytest.mark.parametrize(
    ("application", "says"),
    [
        ({"release": "r9"}, "release r9 of orders is not on this host. Kept: none"),
        ({"release": "../x"}, "is not on this host"),
        ({"sha256": "abc"}, "no kept release has this digest"),
        ({"artifact": "/nowhere.tar.gz"}, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_explained(host: Path, application: Json, says: str) -> None:
    result = run(host, **application)
    assert result["failed"]
    assert says in result["msg"]


@pytest.mark.parametrize("check", [False, True])
def test_a_user_that_is_missing_is_named(host: Path, check: bool) -> None:
    warned = mock.Mock()
    with mock.patch.object(basic.AnsibleModule, "warn", warned):
        result = run(host, check=check, artifact=artifact(host, "one"), user="nobody-of-this-name")
    said = warned.call_args.args[0] if check else result["msg"]
    assert "nobody-of-this-name" in said
    assert "Run site.yml first" in said
    assert result.get("failed", False) != check
    assert not (host / "app" / "releases").exists()


def recorded(host: Path, content: str = "{}", name: str = "orders") -> str:
    place = host / "applications"
    place.mkdir(exist_ok=True)
    (place / f"{name}.json").write_text(content)
    return str(place / "orders.json")


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("content", [None, '{"removed": "2026-11-20"}', "{"])
def test_a_host_that_was_not_prepared_for_an_application_gets_none(
    host: Path, check: bool, content: str | None
) -> None:
    record = recorded(host, name="other")
    if content is not None:
        recorded(host, content)
    for state in ("present", "live"):
        refused = run(host, state=state, check=check, artifact=artifact(host, "one"), record=record)
        assert refused["failed"]
        assert f"orders was not prepared on {socket.gethostname()}: {record} " in refused["msg"]
        assert "Run site.yml first; it prepares it." in refused["msg"]
    assert not (host / "app").exists()
    assert run(host, artifact=artifact(host, "one"), record=recorded(host))["changed"]
    one = live(host)
    Path(record).unlink()
    assert run(host, artifact=artifact(host, "one"), record=record)["failed"]
    assert run(host, release=one, record=record)["live"]["orders"] == one
    (host / "app/current").unlink()
    assert run(host, release=one, record=record)["failed"]
    assert not run(host, record=record).get("failed")


def test_a_check_of_a_bare_host_warns_that_it_is_not_prepared(host: Path) -> None:
    warned = mock.Mock()
    with mock.patch.object(basic.AnsibleModule, "warn", warned):
        checked = run(host, check=True, artifact=artifact(host, "one"), record=str(host / "no/orders.json"))
    assert not checked.get("failed")
    assert "Run site.yml first" in warned.call_args.args[0]


def test_another_digest_than_promised_is_refused(host: Path) -> None:
    result = run(host, artifact=artifact(host, "one"), sha256="abc")
    assert "expected abc" in result["msg"]
    assert not (host / "app").exists()


def test_check_mode_finds_an_artifact_that_cannot_be_used(host: Path) -> None:
    path = host / "broken.tar.gz"
    path.write_text("not an archive")
    assert "cannot be read as a .tar.gz" in run(host, check=True, artifact=str(path))["msg"]


def test_a_full_disk_is_told_and_leaves_no_lock(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as during:
        during.setattr(Path, "write_text", full)
        said = run(host, artifact=artifact(host, "one"))["msg"]
    assert f"{host}/app cannot be written: No space left on device. Free some space" in said
    assert "warnings" not in run(host, artifact=artifact(host, "one"))


def test_leftovers_are_cleaned(host: Path) -> None:
    run(host, artifact=artifact(host, "one"))
    (host / "app/releases/x.partial").mkdir()
    result = run(host, artifact=artifact(host, "one"))
    assert result["diff"]["before"] == {"orders": {"partial": ["x.partial"]}}
    assert not run(host, artifact=artifact(host, "one"))["changed"]


def test_who_deploys() -> None:
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "anna",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "7",
    }
    assert deployer(github) == "anna (https://github.example/o/r/actions/runs/7)"
    assert deployer({}).startswith(getpass.getuser() + "@")


# --- Runs that hold the lock over several calls


def test_a_run_keeps_others_out_until_it_is_settled(host: Path) -> None:
    anna, ben = {"run": ANNA, "keep_lock": True}, {"run": BEN, "keep_lock": True, "by": "ben"}
    run(host, state="present", options=anna, artifact=artifact(host, "one"))
    refused = run(host, state="present", options=ben, artifact=artifact(host, "two"))
    assert refused["failed"]
    assert "is held by anna" in refused["msg"]
    assert refused["lock"]["run"] == ANNA["id"]
    # Neither does a call that is not a part of a run, nor the settling of another.
    assert run(host, artifact=artifact(host, "two"))["failed"]
    run(host, state="settled", options=ben)
    assert run(host, options=ben, artifact=artifact(host, "two"))["failed"]

    run(host, options=anna, artifact=artifact(host, "one"))
    run(host, state="settled", options=anna)
    assert log(host) == ["install", "live", "done"]
    assert run(host, options=ben, artifact=artifact(host, "two"))["changed"]


def test_a_live_release_that_was_rejected_is_no_longer_when_a_run_has_proven_it(host: Path) -> None:
    lazy = {"run": ANNA, "keep_lock": True, "lazy_lock": True}
    one = artifact(host, "one")
    run(host, options=lazy, artifact=one)
    first = live(host)
    run(host, state="rejected", release=first, options={"run": ANNA, "keep_lock": True, "reason": "no database"})
    run(host, state="settled", options={"run": ANNA, "reason": "no database"})
    assert "was rejected (no database)" in run(host, release=first)["msg"]

    def again(reason: str) -> Json:
        prepared = run(host, state="present", options=lazy, artifact=one)
        assert not run(host, options=lazy, artifact=one)["changed"], "not before it was watched"
        run(host, state="settled", options={"run": ANNA, "reason": reason})
        return prepared

    assert again("still no database")["needed"]
    assert "was rejected (no database)" in run(host, release=first)["msg"]
    assert again("")["needed"]
    assert log(host)[-2:] == ["accept", "done"]
    assert not run(host, state="present", options=lazy, artifact=one)["needed"]
    run(host, artifact=artifact(host, "two"))
    assert run(host, release="previous")["live"] == {"orders": first}


def test_a_run_that_changed_nothing_leaves_no_trace(host: Path) -> None:
    run(host, artifact=artifact(host, "one"))
    lines = log(host)
    monday = {"run": ANNA, "keep_lock": True}
    store = host / "app/shared/deploys.log"
    entries = [{**json.loads(line), "at": "2020-01-01T00:00:00+00:00"} for line in store.read_text().splitlines()]
    store.write_text("".join(json.dumps(e) + "\n" for e in entries))
    assert not run(host, options=monday, artifact=artifact(host, "one"))["changed"]
    run(host, state="settled", options=monday)
    assert log(host) == lines
    assert not (host / "app/.lock").exists()


def test_a_run_without_anything_to_do_takes_no_lock_unless_it_meets_one(host: Path) -> None:
    lazy = {"run": ANNA, "keep_lock": True, "lazy_lock": True}
    first = run(host, state="present", options=lazy, artifact=artifact(host, "one"))
    assert first["needed"]
    assert (host / "app/.lock").exists()
    # The same run, called again with what it has installed: it still has to make it live.
    assert run(host, state="present", options=lazy, artifact=artifact(host, "one"))["needed"]
    run(host, options=lazy, artifact=artifact(host, "one"))
    run(host, state="settled", options=lazy)

    again = run(host, state="present", options=lazy, artifact=artifact(host, "one"))
    assert not again["needed"]
    assert not (host / "app/.lock").exists()
    assert run(host, "present", check=True, options=lazy, artifact=artifact(host, "two"))["needed"]

    run(host, state="present", options={"run": ANNA, "keep_lock": True}, artifact=artifact(host, "one"))
    ben = {"run": BEN, "keep_lock": True, "lazy_lock": True}
    assert "is held by" in run(host, state="present", options=ben, artifact=artifact(host, "one"))["msg"]
    finishing = {**ben, "run": {**BEN, "take_over": ANNA["id"]}}
    assert run(host, state="present", options=finishing, artifact=artifact(host, "one"))["needed"]


def test_the_lock_of_a_run_that_is_known_to_be_gone_is_taken_over(host: Path) -> None:
    run(host, state="present", options={"run": ANNA, "keep_lock": True}, artifact=artifact(host, "one"))
    ben = {"run": {**BEN, "take_over": ANNA["id"]}, "keep_lock": True}
    result = run(host, options=ben, artifact=artifact(host, "one"))
    assert result["changed"]
    run(host, state="settled", options=ben)
    run(host, state="present", options={"run": ANNA, "keep_lock": True}, artifact=artifact(host, "one"))
    by_hand = {"run": BEN, "keep_lock": True, "take_over": True}
    assert not run(host, options=by_hand, artifact=artifact(host, "one")).get("failed")


def test_going_back_after_an_interruption_goes_back_once(host: Path) -> None:
    for name in ("one", "two", "three"):
        run(host, artifact=artifact(host, name))
    two = run(host, state="present", release="previous")["applications"][0]["release"]
    anna = {"run": ANNA, "keep_lock": True}
    run(host, state="present", options=anna, release="previous")
    run(host, options=anna, release="previous")
    assert live(host) == two
    # Killed here. The next run finishes it, and does not go back further; the one after that does.
    ben = {"run": {**BEN, "take_over": ANNA["id"]}, "keep_lock": True}
    assert run(host, state="present", options=ben, release="previous")["applications"][0]["release"] == two
    assert not run(host, options=ben, release="previous")["changed"]
    run(host, state="settled", options=ben)
    run(host, release="previous")
    assert live(host).endswith(run(host, state="present", artifact=artifact(host, "one"))["applications"][0]["release"])


def test_going_back_in_one_call_that_is_killed_is_finished_by_the_next_run(host: Path) -> None:
    run(host, artifact=artifact(host, "one"))
    one = live(host)
    run(host, artifact=artifact(host, "two"))
    at_once = {"keep_lock": True, "lazy_lock": True}
    with mock.patch.object(Lock, "rest"):
        run(host, options={"run": ANNA, **at_once}, release="previous")
    assert live(host) == one
    lock = host / "app/.lock"
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "pid": 0}))
    ben = {"run": {**BEN, "take_over": ANNA["id"]}, **at_once}
    finished = run(host, options=ben, release="previous")
    assert (finished["needed"], finished["changed"], finished["live"]) == (True, False, {"orders": one})
    run(host, state="settled", options=ben)
    assert "no earlier release" in run(host, release="previous")["msg"]


def test_a_rejected_release_is_not_made_live_by_name(host: Path) -> None:
    run(host, artifact=artifact(host, "one"))
    run(host, artifact=artifact(host, "two"))
    two = live(host)
    run(host, state="rejected", release=two, options={"reason": "loses orders"})
    refused = run(host, release=two)
    assert f"release {two} of orders was rejected (loses orders)" in refused["msg"]


def test_one_build_has_one_name_in_a_run_and_is_found_under_another_time(host: Path) -> None:
    first = run(host, options={"run": {**ANNA, "at": 1790000000}}, artifact=artifact(host, "one"))
    one = first["live"]["orders"]
    assert one.startswith("20260921")
    run(host, artifact=artifact(host, "two"))
    digest = one.rpartition("-")[2]
    assert run(host, release=f"20250101000000-{digest}")["live"] == {"orders": one}
    assert run(host, release="20250101000000-00000000")["failed"]


NPMRC = "# ${NOT_READ}\n@company:registry=https://npm.example.com/\n//npm.example.com/:_authToken=${NPM_TOKEN}\n"
OPTIONAL = "//npm.example.com/:certfile=${NPM_CERTIFICATE?}\n"


def tokens(**variables: str) -> Json:
    return {"npm_environments": json.dumps({"orders": variables})}


def test_npm_has_the_variables_of_the_application_and_of_no_other(host: Path) -> None:
    (host / "npm").write_text(f'#!/bin/sh\nmkdir node_modules\nenv >{host}/seen\necho "$*" >>{host}/said\n')
    one = artifact(host, "one", **{".npmrc": NPMRC + OPTIONAL})
    done = run(host, artifact=one, options=tokens(NPM_TOKEN="canary-7"))
    assert done["changed"], done
    assert "NPM_TOKEN=canary-7\n" in (host / "seen").read_text()
    assert "canary-7" not in (host / "said").read_text() + json.dumps(done)
    others = {"npm_environments": json.dumps({"other": {"NPM_TOKEN": "canary-7"}})}
    run(host, artifact=artifact(host, "two"), options=others)
    assert "canary-7" not in (host / "app/shared/deploys.log").read_text()
    # The kept release lends its packages; with another lock, npm is run.
    run(host, artifact=artifact(host, "three", **{"package-lock.json": '{"name": "3"}'}), options=others)
    assert "NPM_TOKEN" not in (host / "seen").read_text()


def test_a_token_that_npm_does_not_have_is_told_before_npm_is_run(host: Path) -> None:
    (host / "npm").write_text(f"#!/bin/sh\ntouch {host}/run\n")
    refused = run(host, artifact=artifact(host, "one", **{".npmrc": NPMRC + OPTIONAL}))
    assert (
        ".npmrc of the release reads NPM_TOKEN, which npm does not have here; expected npm_environment"
        in refused["msg"]
    )
    assert "Set npm_environment: {NPM_TOKEN: '@keyvault/Name'}" in refused["msg"]
    assert not (host / "run").exists()
    assert not (host / "app/current").exists()
    environment = {"environment": json.dumps({"npm_config_registry": "x"})}
    (host / "npm").write_text("#!/bin/sh\nmkdir node_modules\n")
    two = artifact(host, "two", **{".npmrc": "registry=${npm_config_registry}\nprefix=\\${AS_IT_IS}\n"})
    assert run(host, artifact=two, options=environment)["changed"]


def test_what_npm_says_does_not_show_what_is_the_applications(host: Path) -> None:
    (host / "npm").write_text('#!/bin/sh\necho "npm error 401 token $NPM_TOKEN" >&2\nexit 1\n')
    refused = run(host, artifact=artifact(host, "one"), options=tokens(NPM_TOKEN="canary-7"))
    assert "npm ci failed: 401 token ********" in refused["msg"]
    assert "canary-7" not in json.dumps(refused)


WARNED = """\
npm warn EBADENGINE Unsupported engine {
npm warn EBADENGINE   package: 'NAME@1.0.0',
npm warn EBADENGINE   required: { node: '>=99', npm: '>=1' },
npm warn EBADENGINE   current: { node: 'v20.19.2', npm: '9.2.0' }
npm warn EBADENGINE }
"""


@pytest.mark.parametrize(("name", "told"), [("orders", True), ("@shop/orders", True), ("some-package", False)])
def test_a_release_for_another_node_is_told(host: Path, name: str, told: bool) -> None:
    (host / "npm").write_text(f"#!/bin/sh\nmkdir node_modules\ncat {host}/warned >&2\n")
    (host / "warned").write_text(WARNED.replace("NAME", "a-package") + WARNED.replace("NAME", name))
    own = name if told else "orders"
    with mock.patch.object(basic.AnsibleModule, "warn") as warn:
        done = run(host, artifact=artifact(host, "one", **{"package.json": json.dumps({"name": own})}))
    assert done["changed"], done
    assert [call.args[0] for call in warn.call_args_list] == (
        [
            "orders: package.json of the release wants node: '>=99', npm: '>=1' (engines), and the host has node: 'v20.19.2', "
            "npm: '9.2.0'. npm installs it all the same. Set pm2_worker_node_source: controller and pm2_worker_node_version, or "
            "correct engines."
        ]
        if told
        else []
    )


BUILDS = {"scripts": {"install": "node-pre-gyp install --fallback-to-build"}}
LOCK = {
    "packages": {
        "": {"name": "orders"},
        "node_modules/bcrypt": {"hasInstallScript": True},
        "node_modules/a/node_modules/@s/canvas": {"hasInstallScript": True},
        "node_modules/protobufjs": {"hasInstallScript": True},
        "node_modules/cpu-features": {"hasInstallScript": True, "optional": True},
        "node_modules/ready": {"hasInstallScript": True},
        "node_modules/gone": {"hasInstallScript": True},
    }
}


def builder(host: Path) -> None:
    """An npm that installs packages of several kinds, and whose rebuild makes what bcrypt needs."""
    made = {
        "bcrypt/package.json": json.dumps(BUILDS),
        "a/node_modules/@s/canvas/binding.gyp": "{}",
        "protobufjs/package.json": '{"scripts": {"postinstall": "node scripts/postinstall"}}',
        "cpu-features/binding.gyp": "{}",
        "ready/binding.gyp": "{}",
        "ready/prebuilds/linux-x64/ready.node": "",
    }
    lines = [
        "#!/bin/sh",
        f'echo "$*" >>{host}/said',
        "case $1 in",
        "rebuild) touch node_modules/bcrypt/bcrypt.node ;;",
        "ci)",
    ]
    for path, content in made.items():
        place = f"node_modules/{path}"
        lines += [f"mkdir -p {Path(place).parent}", f"printf %s '{content}' >{place}"]
    (host / "npm").write_text("\n".join([*lines, ";;", "esac", ""]))


def test_native_code_that_no_script_makes_is_told_before_anything_goes_live(host: Path) -> None:
    builder(host)
    one = artifact(host, "one", **{"package-lock.json": json.dumps(LOCK)})
    refused = run(host, artifact=one)
    assert "@s/canvas, bcrypt need native code that an install script makes, and those are not run" in refused["msg"]
    assert 'Set install_scripts: ["@s/canvas", "bcrypt"], or [] when the application does without.' in refused["msg"]
    assert not (host / "app/current").exists()
    assert run(host, artifact=one, install_scripts=[])["changed"]
    assert "rebuild" not in (host / "said").read_text()


def test_a_compiler_that_is_missing_is_named(host: Path) -> None:
    builder(host)
    said = "gyp ERR! stack Error: not found: make\nmake: g++: No such file or directory\ngyp ERR! not ok"
    npm = (host / "npm").read_text().replace("touch node_modules/bcrypt/bcrypt.node", f"echo '{said}' >&2; exit 1")
    (host / "npm").write_text(npm)
    one = artifact(host, "one", **{"package-lock.json": json.dumps(LOCK)})
    refused = run(host, artifact=one, install_scripts=["bcrypt"])["msg"]
    assert (
        "Native code is compiled on the host: it misses make, g++. Set host_extra_packages: [make, g++, python3]"
        in refused
    )


def test_install_scripts_that_are_named_are_run(host: Path) -> None:
    builder(host)
    one = artifact(host, "one", **{"package-lock.json": json.dumps(LOCK)})
    refused = run(host, artifact=one, install_scripts=["bcript"])
    assert "install_scripts of the application names bcript; expected packages of package-lock.json." in refused["msg"]
    refused = run(host, artifact=one, install_scripts=["bcrypt", "@s/canvas"])
    assert "npm rebuild has made no native code of @s/canvas." in refused["msg"]
    (host / "said").unlink()
    assert run(host, artifact=one, install_scripts=["bcrypt"])["changed"]
    assert "rebuild --ignore-scripts=false --foreground-scripts bcrypt --cache" in (host / "said").read_text()
    # Another release with the same lock and scripts has what was built; with other scripts, npm is run.
    (host / "said").unlink()
    two = artifact(host, "two", **{"package-lock.json": json.dumps(LOCK)})
    assert run(host, artifact=two, install_scripts=["bcrypt"])["changed"]
    assert not (host / "said").exists()
    three = artifact(host, "three", **{"package-lock.json": json.dumps(LOCK)})
    assert run(host, artifact=three, install_scripts=[])["changed"]
    assert (host / "said").exists()


def test_what_is_written_beside_the_code_outlives_a_release(host: Path) -> None:
    first = run(host, artifact=artifact(host, "one"), writable=["uploads", "cache"])
    assert first["changed"]
    (host / "app/current/uploads/order.pdf").write_text("kept")
    assert (host / "app/shared/uploads").stat().st_mode & 0o777 == 0o750
    assert (host / "app/current/cache").is_dir()
    assert run(host, artifact=artifact(host, "two"), writable=["uploads", "cache"])["changed"]
    assert (host / "app/current/uploads/order.pdf").read_text() == "kept"
    assert not run(host, artifact=artifact(host, "two"), writable=["uploads", "cache"])["changed"]
    run(host, release="previous", writable=["uploads"])
    assert (host / "app/current/uploads/order.pdf").read_text() == "kept"


def test_a_release_that_is_live_gets_what_it_may_write(host: Path) -> None:
    one = artifact(host, "one")
    run(host, artifact=one)
    predicted = run(host, check=True, artifact=one, writable=["uploads"])
    assert predicted["changed"]
    assert not (host / "app/shared/uploads").exists()
    assert run(host, artifact=one, writable=["uploads"])["changed"]
    assert (host / "app/current/uploads").is_dir()
    assert not run(host, artifact=one, writable=["uploads"])["changed"]
    assert log(host) == ["install", "live", "link"]


def test_a_release_from_before_a_directory_was_kept_can_be_gone_back_to(host: Path) -> None:
    run(host, artifact=artifact(host, "one"))
    own = host / "app/current/uploads"
    own.resolve().mkdir()
    (own / "order.pdf").write_text("of one")
    run(host, artifact=artifact(host, "two"), writable=["uploads", "cache"])
    back = run(host, release="previous", writable=["uploads", "cache"])
    assert back["changed"], back
    assert (own / "order.pdf").read_text() == "of one"
    assert (host / "app/current/cache").is_symlink()


def test_an_artifact_that_holds_what_is_kept_is_refused(host: Path) -> None:
    one = artifact(host, "one", **{"uploads/README": "here"})
    refused = run(host, artifact=one, writable=["uploads"])
    assert "the artifact holds uploads, which writable names; expected nothing there" in refused["msg"]
    assert not (host / "app/current").exists()
    # Under a release that has it, nothing is put in its place either.
    run(host, artifact=one)
    refused = run(host, artifact=one, writable=["uploads"])
    assert "has uploads of its own, from its artifact or made by its program" in refused["msg"]
    assert (host / "app/current/uploads/README").read_text() == "here"
    (host / "app/shared/cache").write_text("")
    refused = run(host, artifact=one, writable=["cache"])
    assert "shared/cache is no directory; expected one, as writable names it." in refused["msg"]
