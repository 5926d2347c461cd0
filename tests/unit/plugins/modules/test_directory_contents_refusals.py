# SPDX-License-Identifier: GPL-3.0-or-later
"""What directory_contents leaves alone, and what it does not take for granted."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.durable.temporal.plugins.module_utils import _directories
from ansible_collections.durable.temporal.plugins.modules import directory_contents


def call(**options: t.Any) -> dict[str, t.Any]:
    out = io.StringIO()
    with (
        patch_module_args(options),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        pytest.raises(SystemExit),
    ):
        directory_contents.main()
    result: dict[str, t.Any] = json.loads(out.getvalue())
    return result


@pytest.mark.parametrize(("kind", "create"), [("file", True), ("file", False), ("special", True)])
def test_something_in_the_place_of_a_directory_is_left_alone(tmp_path: Path, kind: str, create: bool) -> None:
    path = tmp_path / "conf.d"
    if kind == "file":
        path.write_text("somebody's own")
    else:
        os.mkfifo(path)
    failed = call(directories=[{"path": str(path), "create": create, "mode": "0700"}])
    assert f"{path} is a {kind}, expected a directory. Move it away and run again." in failed["msg"]
    assert path.is_fifo() or path.read_text() == "somebody's own"


def test_what_could_not_be_put_to_use_is_applied_again_even_when_it_was_taken_back_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "a.conf"

    def run(content: str, command: str) -> dict[str, t.Any]:
        wanted = [{"path": str(tmp_path), "files": {"a.conf": content}}]
        return call(directories=wanted, apply_command=[command], stamp=str(tmp_path / "stamp"))

    assert run("good", "true")["applied"]
    assert run("new", "false")["failed"]
    file.write_text("good")
    # Nobody knows what the service has read by now.
    assert run("good", "true")["applied"]
    assert not run("good", "true")["changed"]


MARK = "Written by us"


def test_files_of_others_stay_where_ours_have_a_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, changed = tmp_path / "available", tmp_path / "changed"
    shipped.write_text("as it came\n")
    changed.write_text("as it came, and a line\n")
    status = tmp_path / "status"
    known = [(shipped, shipped.read_bytes()), (changed, b"as it came\n")]
    lines = [f" {path} {hashlib.md5(content, usedforsecurity=False).hexdigest()}\n" for path, content in known]
    status.write_text("Package: web\nConffiles:\n" + "".join(lines))
    monkeypatch.setattr(_directories, "DPKG_STATUS", str(status))
    place = tmp_path / "conf.d"
    place.mkdir()
    (place / "ours.conf").write_text(f"# {MARK}.\nold\n")
    (place / "stray.conf").write_text(f"#!/bin/sh\n# {MARK}.\nold\n")
    (place / "theirs.conf").write_text("server {}\n" * 5 + f"# {MARK}")
    (place / "default").symlink_to(shipped)
    (place / "changed").symlink_to(changed)
    (place / "nowhere").symlink_to("/nonexistent/of/this/test")
    wanted = [{"path": str(place), "mark": MARK, "files": {"ours.conf": f"# {MARK}.\n"}, "prune": ["*"]}]
    assert call(directories=wanted)["changed"]
    assert sorted(entry.name for entry in place.iterdir()) == ["changed", "ours.conf", "theirs.conf"]
    assert not call(directories=wanted)["changed"]


def test_a_file_of_others_with_a_name_of_ours_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "orders.conf"
    theirs.write_text("server {}\n")
    failed = call(directories=[{"path": str(tmp_path), "mark": MARK, "files": {"orders.conf": f"# {MARK}\n"}}])
    assert f"{theirs} is somebody else's (its first lines do not say '{MARK}')" in failed["msg"]
    assert theirs.read_text() == "server {}\n"


def test_a_link_of_others_to_what_is_edited_stays_one(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/nginx.conf").write_text("worker_connections 768;\n")
    (tmp_path / "kept/nginx.conf").chmod(0o640)
    (tmp_path / "nginx.conf").symlink_to("kept/nginx.conf")
    wanted = [{"path": str(tmp_path), "edits": {"nginx.conf": {r"^(worker_connections\s+)\d+;": "8192;"}}}]
    assert call(directories=wanted)["changed"]
    assert (tmp_path / "nginx.conf").is_symlink()
    assert (tmp_path / "kept/nginx.conf").read_text() == "worker_connections 8192;\n"
    assert (tmp_path / "kept/nginx.conf").stat().st_mode & 0o7777 == 0o640
    assert not call(directories=wanted)["changed"]


def test_of_a_file_of_others_only_the_values_change(tmp_path: Path) -> None:
    text = "user me;\nevents {\n    worker_connections 768;\n}\n# worker_connections 1;\nhttp { own on; }\n"
    (tmp_path / "nginx.conf").write_text(text)
    (tmp_path / "nginx.conf").chmod(0o640)
    replacements = {r"^(\s*worker_connections\s+)\d+\s*;": "8192;"}
    wanted = [{"path": str(tmp_path), "mark": MARK, "edits": {"nginx.conf": replacements, "absent": replacements}}]
    options: dict[str, t.Any] = {"apply_command": ["true"], "stamp": str(tmp_path / "stamp")}
    assert call(directories=wanted, **options)["applied"]
    assert (tmp_path / "nginx.conf").read_text() == text.replace("768", "8192")
    assert (tmp_path / "nginx.conf").stat().st_mode & 0o7777 == 0o640
    assert not call(directories=wanted, **options)["changed"]
    assert not (tmp_path / "absent").exists()
