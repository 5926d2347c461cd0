#!/usr/bin/env bash
# npm: a variable that .npmrc names and that is not set is no error; its name is sent as the token.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    npm 10.9.9 and 11.19.1, Node.js 20
# Guess      npm says that ${NPM_TOKEN} is not set, as npm 6 did, or sends no token
# Seen       it asks the registry with "Bearer ${NPM_TOKEN}", in these letters. A registry answers 401 or 404, which says
#            nothing of the variable
# So         look into .npmrc before npm is run, and name the variables that it reads and does not have
#
# Usage: npm-variable-of-npmrc-that-is-not-set.sh    needs node and npm; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
cd "$place"
cat >registry.js <<'JS'
const fs = require('fs')
const server = require('http').createServer((request, response) => {
  fs.appendFileSync('seen', `${request.headers.authorization}\n`)
  response.writeHead(401).end('{}')
})
server.listen(0, '127.0.0.1', () => {
  fs.writeFileSync('port.new', String(server.address().port))
  fs.renameSync('port.new', 'port')
})
JS
node registry.js &
server=$!
trap 'kill "$server"; rm -rf "$place"' EXIT
for _ in $(seq 100); do [ -s port ] && break || sleep 0.1; done
port=$(cat port)
mkdir app
printf '{"name": "app", "version": "1.0.0"}\n' >app/package.json
# shellcheck disable=SC2016  # npm is to read the name
printf 'registry=http://127.0.0.1:%s/\n//127.0.0.1:%s/:_authToken=${NOT_SET}\n' "$port" "$port" >app/.npmrc
code=0
(cd app && npm view @company/orders --fetch-retries 0 --cache "$place/cache") >said 2>&1 || code=$?

echo "version: npm $(npm --version), node $(node --version)"
sort -u seen
named=$(grep -c NOT_SET said || true)
echo "exit code $code, lines of npm that name the variable: $named"
# shellcheck disable=SC2016
[ "$named" = 0 ] && grep -qF 'Bearer ${NOT_SET}' seen || { echo "changed"; exit 1; }
echo "as described: the name of the variable was sent, and nothing said so"
