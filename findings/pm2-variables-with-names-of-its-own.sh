#!/usr/bin/env bash
# PM2: variables whose names are fields of its own record, or of the process, arrive with other values.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    pm2 7.0.4 from npm, Node.js 20.20
# Guess      whatever stands in env of an ecosystem file is what the program finds in process.env
# Seen       status, restart_time and unique_id hold what PM2 knows of the process ("launching", 0, a number of its own);
#            a variable that is called like the process is replaced by the text of an object. pm2 start exits 0 and names
#            none of them. A variable beside them arrives as it was written
# So         an application that takes its settings from names such as status or unique_id runs with settings that nobody has
#            written. Refuse such names where environments are declared.
#
# Usage: pm2-variables-with-names-of-its-own.sh    needs node and npm, Linux; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
cd "$place"
export PM2_HOME=$place/home
trap './node_modules/.bin/pm2 kill >/dev/null 2>&1; rm -rf "$place"' EXIT
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund pm2@7.0.4
cat >app.js <<'JS'
const names = ['status', 'restart_time', 'unique_id', 'orders', 'GREETING']
const seen = names.map((name) => [name, process.env[name] === 'mine' ? 'as written' : 'another value'])
require('fs').writeFileSync('seen.new', seen.map((pair) => pair.join(': ')).join('\n') + '\n')
require('fs').renameSync('seen.new', 'seen')
setInterval(() => {}, 1000)
JS
cat >ecosystem.config.js <<'JS'
const mine = ['status', 'restart_time', 'unique_id', 'orders', 'GREETING']
const env = Object.fromEntries(mine.map((name) => [name, 'mine']))
module.exports = { apps: [{ name: 'orders', script: 'app.js', env }] }
JS
pm2() { ./node_modules/.bin/pm2 "$@"; }

echo "version: pm2 $(pm2 --version | tail -n 1), node $(node --version)"
code=0
pm2 start ecosystem.config.js >said 2>&1 || code=$?
for _ in $(seq 100); do [ -s seen ] && break || sleep 0.1; done
cat seen
named=$(grep -cE 'restart_time|unique_id' said || true)
echo "exit code $code, lines that name one of them: $named"
changed=$(grep -c ': another value$' seen || true)
kept=$(grep -c '^GREETING: as written$' seen || true)
[ "$code/$named/$changed/$kept" = 0/0/4/1 ] || { echo "changed"; exit 1; }
echo "as described: four of five arrived with another value, and nothing said so"
