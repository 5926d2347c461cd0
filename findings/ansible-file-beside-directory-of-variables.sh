#!/usr/bin/env bash
# Ansible: a file of variables beside a directory of the same name is not read, and nothing says so.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    ansible-core 2.19.4 from PyPI
# Guess      group_vars/web.yml and group_vars/web/main.yml are both read, or the pair is refused
# Seen       only the directory is read. The file's variables do not exist; exit code 0, no warning, not even with
#            any_unparsed_is_failed or -vvv. The same for host_vars. With two files, web.yml and web.json, only the first
#            extension of the list (.yml before .json) is read, as silently
# So         an inventory that grew from a file into a directory loses every variable that stayed in the file, and role
#            defaults take their place. Look for such pairs before a run.
#
# Usage: ansible-file-beside-directory-of-variables.sh    needs python3 with venv; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.4
echo "version: $(venv/bin/ansible --version | head -n 1)"
mkdir -p inventory/group_vars/{web,db} inventory/host_vars/one
printf 'all: {children: {web: {hosts: {one: }}, db: {hosts: {two: }}}}\n' >inventory/hosts.yml
printf 'from_group_file: 1\n' >inventory/group_vars/web.yml
printf 'from_group_directory: 1\n' >inventory/group_vars/web/main.yml
printf 'from_host_file: 1\n' >inventory/host_vars/one.yml
printf 'from_host_directory: 1\n' >inventory/host_vars/one/main.yml
rmdir inventory/group_vars/db
printf '{"from_json": 1}\n' >inventory/group_vars/db.json
printf 'from_yml: 1\n' >inventory/group_vars/db.yml
read_of() {
  ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=1 venv/bin/ansible-inventory -vvv -i inventory --host "$1" --output out.json >said 2>&1
  venv/bin/python -c 'import json; print(*sorted(k for k in json.load(open("out.json")) if k.startswith("from_")))'
}
one=$(read_of one)
warned=$(grep -ciE 'warning|ignor|skip|web\.yml|one\.yml' said || true)
two=$(read_of two)
echo "read for a host whose group and own name have a file and a directory: $one; lines that tell of it: $warned"
echo "read for a host whose group has a .json and a .yml file:              $two"
[ "$one/$warned/$two" = "from_group_directory from_host_directory/0/from_yml" ] || { echo "changed"; exit 1; }
echo "as described: the files beside the directories were not read, without a word"
