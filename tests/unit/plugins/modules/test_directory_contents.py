# SPDX-License-Identifier: GPL-3.0-or-later
"""directory_contents, run for real on directories of the test."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.modules import directory_contents
from hypothesis import given
from hypothesis import strategies as st

Result = dict[str, t.Any]


def call(*, check: bool = False, **options: t.Any) -> Result:
    """Run the module as Ansible would and return its result."""
    out = io.StringIO()
    with (
        patch_module_args({**options, "_ansible_check_mode": check}),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        pytest.raises(SystemExit),
    ):
        directory_contents.main()
    result: Result = json.loads(out.getvalue())
    return result


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_writes_what_is_missing_and_then_nothing(tmp_path: Path) -> None:
    wanted = [{"path": str(tmp_path), "files": {"a.conf": "one\n"}, "file_mode": "0640"}]
    first = call(directories=wanted)
    assert first["changed"]
    assert (tmp_path / "a.conf").read_text() == "one\n"
    assert (tmp_path / "a.conf").stat().st_mode & 0o7777 == 0o640
    assert not call(directories=wanted)["changed"]


def test_check_mode_predicts_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    wanted = [{"path": str(tmp_path), "files": {"a": "1"}, "prune": ["*"]}]
    predicted = call(check=True, directories=wanted)
    assert predicted["changed"]
    assert names(tmp_path) == ["old"]
    done = call(directories=wanted)
    assert done["diff"] == predicted["diff"]
    assert done["changes"] == predicted["changes"]
    assert names(tmp_path) == ["a"]


def test_check_mode_on_a_bare_host(tmp_path: Path) -> None:
    bare = tmp_path / "nothing" / "here"
    result = call(
        check=True,
        directories=[
            {"path": str(bare), "create": True, "owner": "nobody-of-this-name", "files": {"a": "1"}},
            {"path": str(bare / "deeper"), "files": {"b": "2"}, "prune": ["*"]},
        ],
        apply_command=["true"],
        stamp=str(bare / "stamp"),
        watch=[str(bare / "certificate.pem")],
    )
    assert result["changed"]
    assert not bare.exists()


def test_what_is_no_text_is_replaced_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "command").write_bytes(b"\x7fELF\x90\xff")
    done = call(directories=[{"path": str(tmp_path), "files": {"command": "#!/bin/sh\n"}}])
    json.dumps(done, ensure_ascii=False).encode("utf-8")  # as Ansible reads it
    assert done["diff"]["before"][str(tmp_path / "command")]["content"] == "6 bytes that are not UTF-8"
    assert (tmp_path / "command").read_text() == "#!/bin/sh\n"


def test_removes_only_what_prune_names(tmp_path: Path) -> None:
    for name in ("mine.conf", "stray.conf", "notes.txt", "kept.conf"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link.conf").symlink_to("stray.conf")
    (tmp_path / "directory.conf").mkdir()
    call(directories=[{"path": str(tmp_path), "files": {"mine.conf": ""}, "prune": ["*.conf"], "keep": ["kept.*"]}])
    assert names(tmp_path) == ["directory.conf", "kept.conf", "mine.conf", "notes.txt"]


def test_makes_directories_with_their_permissions(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "temporal"
    wanted = [
        {"path": str(secret.parent), "create": True, "mode": "0700"},
        {"path": str(secret), "create": True, "mode": "0500", "file_mode": "0400", "files": {"password": "p"}},
    ]
    call(directories=wanted)
    assert secret.parent.stat().st_mode & 0o7777 == 0o700
    assert secret.stat().st_mode & 0o7777 == 0o500
    assert (secret / "password").stat().st_mode & 0o7777 == 0o400
    assert not call(directories=wanted)["changed"]
    (secret / "password").chmod(0o644)
    assert call(directories=wanted)["changes"] == [
        {"name": str(secret / "password"), "action": "update", "fields": ["mode"]}
    ]


def test_a_refused_file_is_put_back(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("good\n")
    (tmp_path / "stray.conf").symlink_to("/nowhere")
    stamp = tmp_path / "stamp"
    options: Result = {
        "directories": [{"path": str(tmp_path), "files": {"a.conf": "bad\n", "new.conf": "x"}, "prune": ["*.conf"]}],
        "test_command": ["sh", "-c", f"echo 'line 1: unknown' >&2; ! grep -q bad {tmp_path}/a.conf"],
        "apply_command": ["touch", str(tmp_path / "applied")],
        "stamp": str(stamp),
    }
    failed = call(**options)
    assert failed["failed"]
    assert "line 1: unknown" in failed["msg"]
    assert (tmp_path / "a.conf").read_text() == "good\n"
    assert names(tmp_path) == ["a.conf", "stray.conf"]
    # Fixed, and it goes through.
    options["directories"][0]["files"]["a.conf"] = "better\n"
    assert call(**options)["applied"]
    assert names(tmp_path) == ["a.conf", "applied", "new.conf", "stamp"]
    assert not call(**options)["changed"]


def test_an_interrupted_run_is_made_good(tmp_path: Path) -> None:
    options: Result = {
        "directories": [{"path": str(tmp_path / "conf.d"), "create": True, "files": {"a.conf": "1"}}],
        "apply_command": ["false"],
        "stamp": str(tmp_path / "stamp"),
    }
    assert "could not be put to use" in call(**options)["msg"]
    options["apply_command"] = ["true"]
    assert call(check=True, **options)["applied"]
    assert call(**options)["applied"]
    assert not call(**options)["changed"]


def test_a_renewed_certificate_is_applied(tmp_path: Path) -> None:
    certificate = tmp_path / "site.pem"
    certificate.write_text("old")
    options: Result = {
        "directories": [{"path": str(tmp_path), "files": {"a.conf": "1"}}],
        "apply_command": ["true"],
        "stamp": str(tmp_path / "stamp"),
        "watch": [str(certificate)],
    }
    call(**options)
    assert not call(**options)["changed"]
    certificate.write_text("new")
    assert call(**options)["applied"]


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ({"files": {"../escape": ""}}, "is not a file name"),
        ({"files": {"taken": ""}}, "is a directory, expected a file"),
        ({"files": {"a": ""}, "file_mode": "rw-r--r--"}, "is not an octal mode"),
        ({"files": {"a": ""}, "owner": "nobody-of-this-name"}, "there is no user nobody-of-this-name"),
    ],
)
def test_says_what_stands_in_the_way(tmp_path: Path, directory: Result, message: str) -> None:
    (tmp_path / "taken").mkdir()
    failed = call(directories=[{"path": str(tmp_path), **directory}])
    assert message in failed["msg"]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    failed = call(directories=[{"path": str(tmp_path / "gone"), "files": {"a": ""}}])
    assert f"{tmp_path / 'gone'} is not there" in failed["msg"]


@given(
    before=st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=5)),
    wanted=st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=5)),
)
def test_twice_is_once(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], wanted: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("contents")
    for name, content in before.items():
        (path / name).write_bytes(content.encode())
    options: Result = {"directories": [{"path": str(path), "files": wanted, "prune": ["*"]}]}
    call(**options)
    assert {p.name: p.read_bytes().decode() for p in path.iterdir()} == wanted
    assert not call(**options)["changed"]


SECRET = "canary-5d1e\nof two lines"


def test_a_secret_is_written_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("canary-old")
    directories = [{"path": f"{tmp_path}/", "file_mode": "0600", "files": {"public": "seen"}}]
    predicted = call(check=True, directories=directories, secrets={str(path): SECRET})
    done = call(directories=directories, secrets={str(path): SECRET})
    assert path.read_text() == SECRET
    assert path.stat().st_mode & 0o777 == 0o600
    for result in (predicted, done):
        assert result["diff"]["before"][str(path)]["content"] != result["diff"]["after"][str(path)]["content"]
        assert result["diff"]["after"][str(tmp_path / "public")]["content"] == "seen"
        assert "canary" not in json.dumps(result)
    assert not call(directories=directories, secrets={str(path): SECRET})["changed"]


def test_what_is_removed_beside_a_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "password-of-before").write_text("canary-of-before")
    done = call(
        directories=[{"path": str(tmp_path), "file_mode": "0600", "prune": ["password-*"]}],
        secrets={str(tmp_path / "password"): SECRET},
    )
    assert {str(tmp_path / "password-of-before")} <= set(done["diff"]["before"])
    assert "canary" not in json.dumps(done)
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_a_secret_without_its_directory_is_refused(tmp_path: Path) -> None:
    result = call(directories=[{"path": str(tmp_path)}], secrets={"/elsewhere/password": SECRET})
    assert result["failed"]
    assert "/elsewhere/password" in result["msg"]
    assert "canary" not in json.dumps(result)


def test_links_are_made_moved_and_not_pruned(tmp_path: Path) -> None:
    wanted = [{"path": str(tmp_path), "links": {"bin": "1.0/bin"}, "prune": ["*"]}]
    assert call(directories=wanted)["changed"]
    assert str((tmp_path / "bin").readlink()) == "1.0/bin"
    assert not call(directories=wanted)["changed"]
    wanted[0]["links"] = {"bin": "2.0/bin"}
    assert call(directories=wanted)["diff"]["after"][str(tmp_path / "bin")] == {"target": "2.0/bin"}
    assert str((tmp_path / "bin").readlink()) == "2.0/bin"


def test_a_link_does_not_replace_a_directory(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    assert "expected a symbolic link" in call(directories=[{"path": str(tmp_path), "links": {"bin": "x"}}])["msg"]


def test_what_is_not_as_expected_stops_everything(tmp_path: Path) -> None:
    version = tmp_path / "PG_VERSION"
    options: dict[str, t.Any] = {
        "directories": [{"path": str(tmp_path), "files": {"new": "x"}}],
        "expected": [{"path": str(version), "content": "17\n", "explanation": "set it back"}],
    }
    version.write_text("16\n")
    assert call(**options)["msg"] == "set it back"
    assert not (tmp_path / "new").exists()
    version.write_text("17\n")
    assert call(**options)["changed"]
    version.unlink()
    assert not call(**options)["changed"]


def test_directories_that_the_command_is_not_about_do_not_run_it(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    log = tmp_path / "log"

    def converge(unit: str, other: str) -> Result:
        return call(
            directories=[
                {"path": str(tmp_path / "other"), "create": True, "apply": False, "files": {"a": other}},
                {"path": str(tmp_path / "unit"), "files": {"b": unit}},
            ],
            apply_command=["sh", "-c", f"echo applied >>{log}"],
            stamp=str(tmp_path / "stamp"),
        )

    assert converge("1", "1")["applied"]
    beside = converge("1", "2")
    assert (beside["changed"], beside["applied"]) == (True, False)
    assert (tmp_path / "other" / "a").read_text() == "2"
    assert not converge("1", "2")["changed"]
    assert converge("2", "2")["applied"]
    assert log.read_text().split() == ["applied"] * 2


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pretended systemctl: the directory holds a file for each unit that is enabled or running."""
    state = tmp_path / "systemd"
    state.mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
cd {state}
verb=$1; shift
case $verb in
  show)
    shift 2
    for unit; do
      echo LoadState=loaded
      [ -e $unit.start ] && echo ActiveState=active || echo ActiveState=inactive
      [ -e $unit.enable ] && echo UnitFileState=enabled || echo UnitFileState=disabled
      [ -e $unit.unwilling ] && echo ConditionResult=no || echo ConditionResult=yes
      echo ConditionTimestampMonotonic=5
      echo
    done ;;
  *)
    [ -e $1.broken ] && {{ echo "Job for $1 failed." >&2; exit 1; }}
    echo "$verb $1" >>log
    touch $1.$verb ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return state


def test_services_are_enabled_and_started_once(systemd: Path) -> None:
    (systemd / "b.enable").touch()
    predicted = call(check=True, directories=[], services=["a", "b"])
    assert not (systemd / "log").exists()
    done = call(directories=[], services=["a", "b"])
    assert done["diff"] == predicted["diff"]
    assert done["diff"]["before"] == {"a": {"enabled": False, "running": False}, "b": {"running": False}}
    assert (systemd / "log").read_text().splitlines() == ["enable a", "start a", "start b"]
    assert not call(directories=[], services=["a", "b"])["changed"]


def test_a_service_that_failed_too_often_is_started_with_better_files(systemd: Path, tmp_path: Path) -> None:
    # As systemd counts them: starts are refused until the failures are forgotten, whatever the files say by now.
    restart = tmp_path / "restart"
    restart.write_text(f"#!/bin/sh\ntest -e {systemd}/a.reset-failed\n")
    restart.chmod(0o755)
    (systemd / "a.enable").touch()
    (systemd / "a.start").touch()
    wanted = [{"path": str(tmp_path / "conf.d"), "create": True, "files": {"a.conf": "1"}}]
    options: Result = {"apply_command": [str(restart)], "stamp": str(tmp_path / "stamp"), "services": ["a"]}
    assert call(check=True, directories=wanted, **options)["applied"]
    assert not (systemd / "log").exists()
    assert call(directories=wanted, **options)["applied"]
    assert (systemd / "log").read_text().splitlines() == ["reset-failed a"]


def test_a_service_that_may_not_run_here_is_left(systemd: Path) -> None:
    (systemd / "a.enable").touch()
    (systemd / "a.unwilling").touch()
    assert not call(directories=[], services=["a"])["changed"]


def test_a_service_that_does_not_start_says_where_to_look(systemd: Path) -> None:
    (systemd / "a.broken").touch()
    message = call(directories=[], services=["a"])["msg"]
    assert "Job for a failed." in message
    assert "journalctl -u a" in message


def test_a_check_on_a_bare_host_predicts_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with mock.patch.object(basic.AnsibleModule, "get_bin_path", return_value=None):
        assert call(check=True, directories=[], services=["a"])["changed"]
        assert "systemctl was not found" in call(directories=[], services=["a"])["msg"]


def test_users_are_made_before_what_belongs_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, log = tmp_path / "bin", tmp_path / "log"
    tools.mkdir()
    for tool in ("groupadd", "useradd"):
        (tools / tool).write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> {log}\n')
        (tools / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    home = {"path": str(tmp_path / "home"), "create": True, "owner": "nobody-of-this-name"}
    options: dict[str, t.Any] = {"directories": [home], "users": [{"name": "nobody-of-this-name", "system": True}]}
    predicted = call(check=True, **options)
    assert [change["name"] for change in predicted["changes"]] == [
        "group nobody-of-this-name",
        "user nobody-of-this-name",
        home["path"],
    ]
    assert not log.exists()
    # The tools of this test make nobody, so the directory cannot be given to the user.
    assert "there is no user nobody-of-this-name" in call(**options)["msg"]
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["groupadd", "useradd"]
    (tools / "groupadd").write_text("#!/bin/sh\necho no such day >&2; exit 3\n")
    assert "The group nobody-of-this-name could not be made as declared" in call(**options)["msg"]
