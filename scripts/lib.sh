# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside it: sourced, never run.
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$root/.local
cache=${XDG_CACHE_HOME:-$HOME/.cache}/durable.temporal

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# apt_install PACKAGE... : only what is missing, and only where we may.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! have apt-get || ! is_root; then
    die "these packages are missing: ${missing[*]}. Install them (on Debian or Ubuntu as root: apt-get install ${missing[*]}) and run this again."
  fi
  say "Installing ${missing[*]} (about half a minute)"
  apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
}

# The VM of `make up` and what is written about it. To have a second one: set these variables for every make command.
run_dir=${DURABLE_RUN_DIR:-$state}
export DURABLE_RUN_DIR=$run_dir
vm=${DURABLE_VM:-durable-vm}
export DURABLE_VM=$vm
api_port=${DURABLE_API_PORT:-8000}
ui_port=${DURABLE_UI_PORT:-8088}
inventory=$root/inventories/local

playbook() { # playbook NAME|FILE [ARG...]: runs one of the collection's playbooks, or another, on the VM of `make up`; keeps its log
  local file=playbooks/$1.yml name=$1
  shift
  if [ -f "$root/$name" ]; then
    file=$name
    name=$(basename "$file" .yml)
  fi
  mkdir -p "$run_dir/logs"
  (
    cd "$root"
    if [ -f "$run_dir/vault/environment" ]; then
      set -a
      # shellcheck source=/dev/null
      . "$run_dir/vault/environment"
    fi
    PATH="$state/venv/bin:$PATH" ANSIBLE_LOG_PATH="$run_dir/logs/$name.log" ansible-playbook -i "$inventory" "$file" "$@"
  )
}
