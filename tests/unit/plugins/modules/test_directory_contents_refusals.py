# SPDX-License-Identifier: GPL-3.0-or-later
"""What directory_contents leaves alone, and what it does not take for granted."""

from __future__ import annotations

import contextlib
import io
import json
import os
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
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
