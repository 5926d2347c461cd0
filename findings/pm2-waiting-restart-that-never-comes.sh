#!/usr/bin/env bash
# PM2: a process that has ended and is not started again is said to wait for its restart.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    pm2 7.0.4 from npm, Node.js 20.20
# Guess      with autorestart: false, a process that has ended is "stopped"
# Seen       with a restart_delay it is "waiting restart", for ever: the status follows from the delay alone (God.handleExit),
#            and nothing starts it. Without the delay it is "stopped"
# So         who waits for a process that is tried once, and takes "waiting restart" for a state that passes, waits in vain.
#            Leave restart_delay out where there is no restart.
#
# Usage: pm2-waiting-restart-that-never-comes.sh    needs node and npm, Linux; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
cd "$place"
export PM2_HOME=$place/home
trap './node_modules/.bin/pm2 kill >/dev/null 2>&1; rm -rf "$place"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund pm2@7.0.4
cat >app.js <<'JS'
require('fs').appendFileSync(`starts-${process.argv[2]}`, '.')
throw new Error('boom')
JS
cat >ecosystem.config.js <<'JS'
const app = (name) => ({ name, script: 'app.js', args: name, autorestart: false })
module.exports = { apps: [{ ...app('delayed'), restart_delay: 200 }, app('plain')] }
JS
pm2() { ./node_modules/.bin/pm2 "$@"; }
status() { pm2 jlist | tail -n 1 | node -e '
  const rows = JSON.parse(require("fs").readFileSync(0));
  console.log(rows.find((row) => row.name === process.argv[1]).pm2_env.status)' "$1"; }

echo "version: pm2 $(pm2 --version | tail -n 1), node $(node --version)"
pm2 start ecosystem.config.js >/dev/null 2>&1 || true
for _ in $(seq 100); do [ -s starts-delayed ] && [ -s starts-plain ] && break || sleep 0.1; done
# Ten times the delay: a start that is to come has come.
sleep 2
delayed=$(status delayed) plain=$(status plain)
echo "with restart_delay: $delayed, started $(wc -c <starts-delayed) times; without: $plain, started $(wc -c <starts-plain) times"
[ "$delayed/$plain/$(wc -c <starts-delayed)" = "waiting restart/stopped/1" ] || { echo "changed"; exit 1; }
echo "as described: it waits for a start that never comes"
