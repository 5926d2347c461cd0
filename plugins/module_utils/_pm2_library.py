# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PM2's own library, for what its command cannot do: to add instances to those of an earlier release.

Private to this collection.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import threading
import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._pm2 import Pm2Error
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account, talk_as

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# How many instances PM2 starts at a time: each keeps a processor busy for a second.
CONCURRENT = str(2 * (os.cpu_count() or 1))
CLOSE_SECONDS = 5
# Argument: directory of PM2. Each line of its input is a part of an ecosystem that is to be started, with a number; each
# line of its output says of a number how that went.
# A start of declared processes restarts those that run under the same names. PM2 asks its daemon which these are; when
# the answer is none, it adds to them.
PROGRAM = """
const [directory] = process.argv.slice(1);
const pm2 = require(directory);
delete process.env.PM2_PROGRAMMATIC; // What the processes need not inherit.
delete process.env.PM2_CONCURRENT_ACTIONS;
const say = (number, error) => {
  const said = error ? [].concat(error).map((e) => e.message || e).join('; ') : '';
  process.stdout.write(JSON.stringify({ started: number, error: said }) + '\\n');
};
pm2.connect((refused) => {
  const ask = pm2.Client.executeRemote;
  pm2.Client.executeRemote = function (method, ...values) {
    return method === 'getMonitorData' ? values.pop()(null, []) : ask.call(this, method, ...values);
  };
  require('node:readline')
    .createInterface({ input: process.stdin })
    .on('line', (line) => {
      const { number, file } = JSON.parse(line);
      if (refused) return say(number, refused);
      pm2.start(file, (error) => say(number, error));
    })
    .on('close', () => process.exit(0));
});
"""


class Library:
    """PM2's library in a program that goes on until it is closed: to load it takes 0.4 s of a processor.

    What is to be started goes over a pipe: it holds the secrets of the application.
    """

    def __init__(
        self, account: Account, pm2: str, environment: t.Mapping[str, str], keep_open: t.Collection[int] = ()
    ) -> None:
        """:raises OSError: it cannot be started."""
        directory = Path(pm2).resolve().parent.parent
        own = {**environment, "PM2_PROGRAMMATIC": "true", "PM2_CONCURRENT_ACTIONS": CONCURRENT}
        self._process = talk_as(account, ["node", "-e", PROGRAM, str(directory)], own, umask=0o027, keep_open=keep_open)
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._results: dict[int, str] = {}
        self._said: list[str] = []
        self._ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in t.cast("t.IO[str]", self._process.stdout):
            with self._news:
                try:
                    answer = json.loads(line)
                    self._results[answer["started"]] = str(answer["error"])
                except (ValueError, KeyError, TypeError):
                    self._said.append(COLOUR.sub("", line).strip())
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def start(self, file: t.Mapping[str, t.Any], timeout_seconds: float) -> None:
        """Start what a part of an ecosystem declares, beside what runs; returns when PM2 says that it is ready.

        :raises Pm2Error: PM2 says that it failed. That it does not say so means nothing.
        """
        number = next(self._numbers)
        with contextlib.suppress(OSError):
            pipe = t.cast("t.IO[str]", self._process.stdin)
            pipe.write(json.dumps({"number": number, "file": file}) + "\n")
            pipe.flush()
        with self._news:
            if not self._news.wait_for(lambda: number in self._results or self._ended, timeout_seconds):
                raise Pm2Error(f"pm2 start did not end within {timeout_seconds:.0f} s")
            error = self._results.pop(number, None)
        if error is None:
            said = " | ".join(line for line in self._said if line)
            raise Pm2Error(f"pm2 start failed: {said[-600:] or f'code {self._process.wait()}'}")
        if error:
            raise Pm2Error(f"pm2 start failed: {error[-600:]}")

    def close(self) -> None:
        """End the program; what it has started goes on."""
        with contextlib.suppress(OSError):
            t.cast("t.IO[str]", self._process.stdin).close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
