#!/usr/bin/env bash
# PM2: the environment of a process in cluster mode, as the system shows it, does not hold the application's variables.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    pm2 7.0.4 from npm, Node.js 20.20
# Guess      a variable of the application is an entry NAME=value of /proc/PID/environ in fork and in cluster mode
# Seen       fork mode: it is. Cluster mode: there is no such entry; all variables are inside of one entry, pm2_env, as
#            JSON, although process.env.NAME has the value in the program
# So         what audits environments by NAME= (a search for leaked values, a check that a new value has arrived) sees
#            nothing in cluster mode. It has to read pm2_env too, or ask the program.
#
# Usage: pm2-cluster-environment-is-one-variable.sh    needs node and npm, Linux; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
cd "$place"
export PM2_HOME=$place/home
trap './node_modules/.bin/pm2 kill >/dev/null 2>&1; rm -rf "$place"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund pm2@7.0.4
cat >app.js <<'JS'
require('fs').writeFileSync(`${process.env.name}.seen`, String(process.env.GREETING))
setInterval(() => {}, 1000)
JS
cat >ecosystem.config.js <<'JS'
const app = (name, exec_mode) => ({ name, exec_mode, script: 'app.js', instances: 1, env: { GREETING: 'good-day' } })
module.exports = { apps: [app('fork', 'fork'), app('cluster', 'cluster')] }
JS
pm2() { ./node_modules/.bin/pm2 "$@"; }

echo "version: pm2 $(pm2 --version | tail -n 1), node $(node --version)"
pm2 start ecosystem.config.js >/dev/null
result=0
for name in fork cluster; do
  for _ in $(seq 100); do [ -s "$name.seen" ] && break || sleep 0.1; done
  pid=$(pm2 pid "$name" | tail -n 1)
  entry=$(tr '\0' '\n' <"/proc/$pid/environ" | grep -c '^GREETING=good-day$' || true)
  inside=$(tr '\0' '\n' <"/proc/$pid/environ" | grep '^pm2_env=' | grep -c '"GREETING":"good-day"' || true)
  echo "$name: the program sees $(cat "$name.seen"); entries of its own: $entry; inside of pm2_env: $inside"
  case "$name $(cat "$name.seen") $entry $inside" in
    'fork good-day 1 0' | 'cluster good-day 0 1') ;;
    *) result=1 ;;
  esac
done
[ "$result" = 0 ] || { echo "changed"; exit 1; }
echo "as described: in cluster mode the variables are inside of pm2_env only"
