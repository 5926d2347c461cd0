# SPDX-License-Identifier: GPL-3.0-or-later
"""Images written without an engine: same input, same id; and the interfaces that the official images have."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.plugin_utils import _artifact_images as images
from ansible_collections.durable.temporal.plugins.plugin_utils._image_archive import (
    Image,
    Tree,
    extract_member,
    write_archive,
)
from hypothesis import given
from hypothesis import strategies as st


def tree_of(names: list[str], content: bytes = b"x") -> Tree:
    tree = Tree()
    for name in names:
        tree.file(name, content)
    return tree


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=6, unique=True))
def test_the_order_of_adding_does_not_matter(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("layers")
    paths = [f"dir/{name}" for name in names]
    one, two = tree_of(paths).write(folder / "1"), tree_of(paths[::-1]).write(folder / "2")
    assert (one.diff_id, one.digest, one.size) == (two.diff_id, two.digest, two.size)
    assert (folder / "1").read_bytes() == (folder / "2").read_bytes()


def test_a_layer_depends_on_nothing_but_its_content(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"program")
    source.chmod(0o600)
    tree = Tree()
    tree.file("usr/bin/program", source, mode=0o755)
    tree.symlink("bin/p", "/usr/bin/program")
    tree.directory("home/me", owner=(1000, 1000))
    layer = tree.write(tmp_path / "layer", hashed=("usr/bin/program",))
    assert layer.files == {"usr/bin/program": hashlib.sha256(b"program").hexdigest()}
    plain = gzip.decompress(layer.path.read_bytes())
    assert hashlib.sha256(plain).hexdigest() == layer.diff_id
    assert hashlib.sha256(layer.path.read_bytes()).hexdigest() == layer.digest
    with tarfile.open(layer.path) as tar:
        found = {i.name: (i.mode, i.uid, i.gid, i.mtime) for i in tar}
    assert found == {
        "bin": (0o755, 0, 0, 0),
        "bin/p": (0o777, 0, 0, 0),
        "home": (0o755, 0, 0, 0),
        "home/me": (0o755, 1000, 1000, 0),
        "usr": (0o755, 0, 0, 0),
        "usr/bin": (0o755, 0, 0, 0),
        "usr/bin/program": (0o755, 0, 0, 0),
    }


@pytest.mark.parametrize("path", ["", "/", "../etc/passwd", "a/../../b"])
def test_names_stay_inside_the_image(path: str) -> None:
    with pytest.raises(ValueError, match="no path inside an image"):
        Tree().file(path, b"")


def test_an_archive_has_what_docker_load_reads_and_shared_layers_once(tmp_path: Path) -> None:
    base = tree_of(["base"]).write(tmp_path / "base.tar.gz")
    own = tree_of(["own"]).write(tmp_path / "own.tar.gz")
    config = {"Cmd": ["sh"], "Labels": {"a": "b"}}
    one = Image("local/one:1", "amd64", config, (base, own))
    two = Image("local/two:1", "amd64", config, (base,))
    write_archive([one, two], tmp_path / "images.tar")
    write_archive([one, two], tmp_path / "again.tar")
    assert (tmp_path / "images.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
    with tarfile.open(tmp_path / "images.tar") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no file"))
        raw = (tar.extractfile(manifest[0]["Config"]) or pytest.fail("no file")).read()
        layer = (tar.extractfile(manifest[0]["Layers"][1]) or pytest.fail("no file")).read()
    assert names.count(f"{base.diff_id}/layer.tar") == 1
    assert [entry["RepoTags"] for entry in manifest] == [["local/one:1"], ["local/two:1"]]
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == one.image_id
    assert one.image_id != two.image_id
    content = json.loads(raw)
    assert content["rootfs"]["diff_ids"] == [f"sha256:{base.diff_id}", f"sha256:{own.diff_id}"]
    assert content["config"]["Cmd"] == ["sh"]
    assert hashlib.sha256(gzip.decompress(layer)).hexdigest() == own.diff_id


def test_a_file_can_be_taken_out_of_a_layer(tmp_path: Path) -> None:
    layer = tree_of(["usr/bin/tool"], b"tool").write(tmp_path / "layer")
    extract_member(layer.path, "usr/bin/tool", tmp_path / "tool")
    assert (tmp_path / "tool").read_bytes() == b"tool"
    with pytest.raises(KeyError):
        extract_member(layer.path, "nothing", tmp_path / "tool")


# The variables that the UI's official image reads, as documented by its makers.
UI_VARIABLES = """
TEMPORAL_ADDRESS TEMPORAL_UI_PORT TEMPORAL_UI_PUBLIC_PATH TEMPORAL_UI_ENABLED TEMPORAL_DEFAULT_NAMESPACE
TEMPORAL_FEEDBACK_URL TEMPORAL_NOTIFY_ON_NEW_VERSION TEMPORAL_CONFIG_REFRESH_INTERVAL
TEMPORAL_SHOW_TEMPORAL_SYSTEM_NAMESPACE TEMPORAL_DISABLE_WRITE_ACTIONS TEMPORAL_CORS_ORIGINS
TEMPORAL_CSRF_COOKIE_INSECURE TEMPORAL_TLS_CA TEMPORAL_TLS_CERT TEMPORAL_TLS_KEY
TEMPORAL_TLS_ENABLE_HOST_VERIFICATION TEMPORAL_TLS_SERVER_NAME TEMPORAL_UI_SERVER_TLS_CERT TEMPORAL_UI_SERVER_TLS_KEY
TEMPORAL_AUTH_ENABLED TEMPORAL_AUTH_TYPE TEMPORAL_AUTH_PROVIDER_URL TEMPORAL_AUTH_ISSUER_URL TEMPORAL_AUTH_CLIENT_ID
TEMPORAL_AUTH_CLIENT_SECRET TEMPORAL_AUTH_CALLBACK_URL TEMPORAL_AUTH_SCOPES TEMPORAL_CODEC_ENDPOINT
TEMPORAL_CODEC_PASS_ACCESS_TOKEN TEMPORAL_CODEC_INCLUDE_CREDENTIALS TEMPORAL_FORWARD_HEADERS TEMPORAL_HIDE_LOGS
"""


def test_the_ui_reads_the_official_variables() -> None:
    text = images.ui_configuration()
    assert text.startswith("# enable-template\n")
    assert set(UI_VARIABLES.split()) <= set(re.findall(r"TEMPORAL_[A-Z_]+", text))
    # Keys must not be repeated: YAML would refuse or the last would win.
    for indent in ("", "  "):
        section = ""
        seen = set()
        for line in text.splitlines():
            if match := re.match(r"^([A-Za-z]+):", line):
                section = match[1]
            if match := re.match(rf"^{indent}([A-Za-z]+):", line):
                key = (section if indent else "", match[1])
                assert key not in seen
                seen.add(key)
    assert text.count("{{- if") + text.count("{{- range") == text.count("{{- end }}")


def test_the_images_offer_the_official_interfaces() -> None:
    server = images.container_config(images.RECIPES["server"].config, "identity")
    assert (server["User"], server["WorkingDir"]) == ("temporal", "/etc/temporal")
    assert server["Cmd"] == ["/etc/temporal/entrypoint.sh"]
    assert server["Labels"] == {"durable.temporal.artifact": "identity"}
    assert images.RECIPES["ui"].config["WorkingDir"] == "/home/ui-server"
    postgres = images.container_config(images.postgres_config("17"), "identity")
    assert postgres["StopSignal"] == "SIGINT"
    assert postgres["Entrypoint"] == ["docker-entrypoint.sh"]
    assert "PGDATA=/var/lib/postgresql/data" in postgres["Env"]
    assert postgres["Env"][0].startswith("PATH=/usr/lib/postgresql/17/bin:")


@pytest.mark.parametrize(
    ("shell", "script"), [("bash", "_POSTGRES_ENTRYPOINT"), ("sh", "_SERVER_ENTRYPOINT"), ("sh", "_UI_ENTRYPOINT")]
)
def test_the_entry_points_are_valid_shell(shell: str, script: str) -> None:
    subprocess.run([shell, "-n"], input=getattr(images, script), text=True, check=True)


def test_a_recipe_changes_with_the_content_of_its_image_only(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("base", "server", "admin_tools", "ui", "postgres")
    before = {name: images.recipe(name) for name in names}
    assert before == {name: images.recipe(name) for name in names}
    monkeypatch.setattr(images, "_UI_ENTRYPOINT", "#!/bin/sh\n")
    assert {name for name in names if images.recipe(name) != before[name]} == {"ui"}
    monkeypatch.setitem(images._REVISION, "base", 99)
    assert {name for name in names if images.recipe(name) != before[name]} == {"base", "server", "admin_tools", "ui"}


# Stands in for a command that would change something: tells that it was called.
_RECORDER = '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n'
_FIND = '#!/bin/sh\ncase " $* " in *" -exec "*) echo "find $*" >>"$CALLS" ;; *) exec %s "$@" ;; esac\n'


def _start_postgres(tmp_path: Path, data: Path) -> tuple[int, str, str]:
    """Start the entry point as root, as far as it gives up its rights: exit code, what it said, what it called."""
    commands, calls = tmp_path / "bin", tmp_path / "calls"
    commands.mkdir()
    calls.touch()
    stand_ins = dict.fromkeys(("chmod", "chown", "mkdir", "setpriv"), _RECORDER)
    stand_ins |= {"id": "#!/bin/sh\necho 0\n", "find": _FIND % shutil.which("find")}
    for name, content in stand_ins.items():
        (commands / name).write_text(content)
        (commands / name).chmod(0o755)
    script = tmp_path / "entrypoint"
    script.write_text(images._POSTGRES_ENTRYPOINT)
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "CALLS": str(calls), "PGDATA": str(data)}
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, calls.read_text()


def test_postgresql_changes_no_owner_among_the_files_of_others(tmp_path: Path) -> None:
    data = tmp_path / "srv"
    data.mkdir()
    (data / "photo.jpg").touch()
    code, said, called = _start_postgres(tmp_path, data)
    assert (code, called) == (1, "")
    assert said == f"error: {data} holds files and is no PostgreSQL data directory; empty it or mount another one\n"


@pytest.mark.parametrize("content", ["", "lost+found/", "PG_VERSION", ".first-start/"])
def test_postgresql_takes_what_is_empty_or_its_own(tmp_path: Path, content: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if content.endswith("/"):
        (data / content).mkdir()
    elif content:
        (data / content).write_text("17\n")
        (data / "base").mkdir()
    code, said, called = _start_postgres(tmp_path, data)
    assert (code, said) == (0, "")
    assert [line.split()[0] for line in called.splitlines()] == ["mkdir", "chmod", "chmod", "find", "setpriv"]
