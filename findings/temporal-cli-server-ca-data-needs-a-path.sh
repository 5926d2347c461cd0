#!/usr/bin/env bash
# Temporal CLI: an authority given as text in the file of TEMPORAL_CONFIG_FILE is refused unless a path is given, too.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    temporal 1.5.1 (go.temporal.io/sdk/contrib/envconfig 0.1.0)
# Guess      [profile.default.tls] takes server_ca_cert_data or server_ca_cert_path
# Seen       data alone: "invalid TLS config: cannot have server CA cert path with data"; data with any path: the data
#            count, and the path is not read; path alone works
# So         write the authority into a file, and name that
#
# Usage: temporal-cli-server-ca-data-needs-a-path.sh [TEMPORAL]    exits 1 when the behaviour has changed
set -euo pipefail
temporal=${1:-temporal}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null
says() { # says LINE...: what the command says with these lines in its TLS table
  { printf '[profile.default]\naddress = "127.0.0.1:1"\n\n[profile.default.tls]\n'; printf '%s\n' "$@"; } >temporal.toml
  TEMPORAL_CONFIG_FILE=$place/temporal.toml "$temporal" workflow count 2>&1 || :
}
data=$(printf 'server_ca_cert_data = """\n%s\n"""' "$(cat ca.pem)")
refused="cannot have server CA cert path with data"
reached="connection refused"
echo "version: $("$temporal" --version)"
alone=$(says "$data")
both=$(says "$data" 'server_ca_cert_path = "/nowhere.pem"')
path=$(says "server_ca_cert_path = \"$place/ca.pem\"")
printf 'data alone:  %s\ndata + path: %s\npath alone:  %s\n' "$alone" "$both" "$path"
case $alone in *"$refused"*) ;; *) echo "changed: data alone is taken"; exit 1 ;; esac
case $both in *"$reached"*) ;; *) echo "changed: data with a path"; exit 1 ;; esac
case $path in *"$reached"*) ;; *) echo "changed: path alone"; exit 1 ;; esac
