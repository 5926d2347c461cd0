#!/usr/bin/env bash
# Ansible: a method that is given an undefined value in a template is not called, and with "set _ =" nothing says so.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    ansible-core 2.19.4 from PyPI
# Guess      {% set _ = files.update({'a.conf': site.nosuch}) %} is an error: the value is undefined
# Seen       the call is left out, its result is the undefined value, and assigning that to a name is no use of it: exit
#            code 0, no warning, and the entry is missing. The entries before and after it are there. The same with append.
#            With "set all.files = all.files | combine(...)" on a namespace, the same value is an error
# So         a mapping of files that is built this way silently loses the file whose text has a slip in it, and what
#            compares a directory with that mapping removes the file. Build with filters, never with methods.
#
# Usage: ansible-undefined-argument-of-a-method.sh    needs python3 with venv; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ansible-core==2.19.4
echo "version: $(venv/bin/ansible --version | head -n 1)"
cat >play.yml <<'PLAY'
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    sites: [{name: a, text: one}, {name: b}, {name: c, text: three}]
    by_method: >-
      {%- set files = {} -%}
      {%- for site in sites -%}{%- set _ = files.update({site.name: site.text}) -%}{%- endfor -%}
      {{ files.keys() | join(' ') }}
    by_append: >-
      {%- set texts = [] -%}
      {%- for site in sites -%}{%- set _ = texts.append(site.text) -%}{%- endfor -%}
      {{ texts | join(' ') }}
    by_filter: >-
      {%- set all = namespace(files={}) -%}
      {%- for site in sites -%}{%- set all.files = all.files | combine({site.name: site.text}) -%}{%- endfor -%}
      {{ all.files.keys() | join(' ') }}
  tasks:
    - {ansible.builtin.debug: {msg: "built {{ by_method }}"}, tags: by_method}
    - {ansible.builtin.debug: {msg: "built {{ by_append }}"}, tags: by_append}
    - {ansible.builtin.debug: {msg: "built {{ by_filter }}"}, tags: by_filter}
PLAY
built() {
  local code=0
  venv/bin/ansible-playbook -i localhost, play.yml --tags "$1" >said 2>&1 || code=$?
  echo "$code/$(grep -c WARNING said || true)/$(sed -n 's/.*"msg": "built \(.*\)"$/\1/p' said)"
}
method=$(built by_method)
append=$(built by_append)
filter=$(built by_filter)
echo "exit code, warnings, what was built, of three entries of which the second is undefined:"
echo "  by update: $method"
echo "  by append: $append"
echo "  by a filter: $filter"
[ "$method $append" = "0/0/a c 0/0/one three" ] && [ "${filter%%/*}" != 0 ] || { echo "changed"; exit 1; }
echo "as described: the entry is dropped without a word where a method is called, and an error where a filter is"
