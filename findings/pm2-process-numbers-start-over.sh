#!/usr/bin/env bash
# PM2: the number of a process (pm_id) names it only as long as the list never gets empty.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    pm2 7.0.4 from npm, Node.js 20.20
# Guess      numbers rise for as long as the daemon lives, so a number that was seen before is the same process
# Seen       deleting one of two processes: the next one gets a new number. Deleting the last one: the next one, of any
#            name, gets number 0 again, in the same daemon (same pid)
# So         who tells "the old process" from "its successor" by the number alone takes one for the other after a
#            replacement of the only process. Compare the number together with the start time or the pid.
#
# Usage: pm2-process-numbers-start-over.sh    needs node and npm; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
cd "$place"
export PM2_HOME=$place/home
trap './node_modules/.bin/pm2 kill >/dev/null 2>&1; rm -rf "$place"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund pm2@7.0.4
echo 'setInterval(() => {}, 1000)' >idle.js
pm2() { ./node_modules/.bin/pm2 "$@"; }
start() { pm2 start idle.js --name "$1" >/dev/null; }
numbers() { # name=number of every process
  pm2 jlist | tail -n 1 | node -e '
    const list = JSON.parse(require("fs").readFileSync(0, "utf8"))
    console.log(list.map((one) => `${one.name}=${one.pm_id}`).join(" "))'
}

echo "version: pm2 $(pm2 --version | tail -n 1), node $(node --version)"
start a
start b
first=$(numbers)
daemon=$(cat "$PM2_HOME/pm2.pid")
pm2 delete b >/dev/null
start c
kept=$(numbers)
pm2 delete all >/dev/null
start d
emptied=$(numbers)
[ "$daemon" = "$(cat "$PM2_HOME/pm2.pid")" ] || { echo "changed: the daemon was replaced"; exit 1; }
echo "two processes:                 $first"
echo "b deleted, c started:          $kept"
echo "all deleted, d started:        $emptied"
[ "$first / $kept / $emptied" = "a=0 b=1 / a=0 c=2 / d=0" ] || { echo "changed"; exit 1; }
echo "as described: numbers start over when the list has been empty"
