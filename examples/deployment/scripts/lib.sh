# shellcheck shell=bash
# Shared by the scripts beside it: sourced, never run.
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# expect WHAT VALUE PATTERN WORDS: refuses what a person or a workflow gave and nobody should have.
expect() {
  [[ $2 =~ ^($3)$ ]] || die "$1 is $(printf '%q' "$2"); expected $4."
}
expect_application() { expect 'the application' "$1" '[a-z0-9]+(-[a-z0-9]+)*' 'lower-case letters, digits and single hyphens'; }
expect_reason() { expect 'the reason' "$1" '[^[:cntrl:]]{0,200}' 'one line of at most 200 characters'; }

# text VALUE: as YAML that stays text. Ansible would run what stands in braces in a reason.
text() {
  local value=${1//\\/\\\\}
  printf '!unsafe "%s"\n' "${value//\"/\\\"}"
}

# result NAME VALUE: for the eye, and for the next step of a workflow.
result() { printf '%s=%s\n' "$1" "$2" | tee -a "${GITHUB_OUTPUT:-/dev/null}"; }

# playbook NAME INVENTORY: runs a playbook with the variables that come in on stdin.
playbook() {
  expect 'the inventory' "$2" '[a-z0-9][a-z0-9_-]*' 'the name of a directory below inventories'
  [ -d "inventories/$2" ] || die "there is no inventories/$2; there is: $(cd inventories && echo */)."
  local PATH=$PWD/.venv/bin:$PATH
  variables=$(mktemp -d "${RUNNER_TEMP:-/tmp}/variables.XXXXXX")
  trap 'rm -rf "$variables"' EXIT
  cat >"$variables/all.yml"
  ansible-playbook -i "inventories/$2" "$1.yml" --extra-vars "@$variables/all.yml"
}
