# SPDX-License-Identifier: GPL-3.0-or-later
"""What directory_contents finds in the place of a directory, and leaves alone."""

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


@pytest.mark.parametrize(("kind", "create"), [("file", True), ("file", False), ("special", True)])
def test_something_in_the_place_of_a_directory_is_left_alone(tmp_path: Path, kind: str, create: bool) -> None:
    path = tmp_path / "conf.d"
    if kind == "file":
        path.write_text("somebody's own")
    else:
        os.mkfifo(path)
    out = io.StringIO()
    with (
        patch_module_args({"directories": [{"path": str(path), "create": create, "mode": "0700"}]}),
        contextlib.redirect_stdout(out),
        mock.patch.object(basic.AnsibleModule, "log"),
        pytest.raises(SystemExit),
    ):
        directory_contents.main()
    failed: dict[str, t.Any] = json.loads(out.getvalue())
    assert f"{path} is a {kind}, expected a directory. Move it away and run again." in failed["msg"]
    assert path.is_fifo() or path.read_text() == "somebody's own"
