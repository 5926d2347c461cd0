#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds certificates of own authorities to the system's store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca_certificates
short_description: Trust own certificate authorities on a Debian or Ubuntu host
version_added: 0.1.0
description:
  - Writes certificates to the directory of local authorities, and rebuilds the bundle when it lacks one.
  - Writes the environment that makes programs with bundles of their own (pip, npm, Node) use the system's.
  - An interrupted run leaves nothing behind that the next run does not see, because the bundle itself is compared.
  - Where the package C(ca-certificates) is not installed yet, only the files are written. Its installation reads them.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes
options:
  certificates:
    description: The certificates. A file of the same name is replaced, other files are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: >-
          Name of the file. It gets the prefix C(durable-temporal-), so that it replaces no file of others, and the suffix
          C(.crt), the only one that is read.
        type: str
        required: true
      content:
        description: One or more certificates in PEM form.
        type: str
        required: true
  environment:
    description: Variables for all sessions on the host. They replace those of an earlier run.
    type: dict
    default: {}
  environment_file:
    description: The file with the variables of all sessions.
    type: path
    default: /etc/environment
  directory:
    description: Where local authorities are kept.
    type: path
    default: /usr/local/share/ca-certificates
  bundle:
    description: The bundle that programs read.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
"""

EXAMPLES = r"""
- name: Trust the company's authority
  durable.temporal.ca_certificates:
    certificates:
      - name: company
        content: "{{ lookup('ansible.builtin.file', 'company.crt') }}"
    environment:
      NODE_EXTRA_CA_CERTS: /etc/ssl/certs/ca-certificates.crt
"""

RETURN = r"""
actions:
  description: What was done, or would be done, for which file.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: /usr/local/share/ca-certificates/durable-temporal-company.crt, action: create, fields: [certificates]}
"""

import typing as t
from pathlib import Path

from ansible_collections.durable.temporal.plugins.module_utils._certificates import (
    BUNDLE,
    DIRECTORY,
    ENVIRONMENT,
    environment_text,
    file_name,
    fingerprints,
    read,
)
from ansible_collections.durable.temporal.plugins.module_utils._module import Module
from ansible_collections.durable.temporal.plugins.module_utils._plan import Plan


def write(path: Path, text: str) -> None:
    """Replace a file that everybody reads in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(path)


def make_plan(wanted: t.Mapping[Path, str], bundle: Path, can_rebuild: bool) -> Plan:
    """Compare the files, and the bundle with all of them.

    :param wanted: path of each file and the text that it is to have.
    :param can_rebuild: the tool that rebuilds the bundle is installed.
    """
    plan = Plan()
    for path, text in wanted.items():
        present = read(path)
        plan.add(
            str(path),
            {"certificates": fingerprints(present)} if present else None,
            {"certificates": fingerprints(text)},
        )
    trusted = set(fingerprints(read(bundle)))
    missing = sorted({f for text in wanted.values() for f in fingerprints(text)} - trusted)
    if missing and can_rebuild:
        plan.add(str(bundle), {"missing": missing}, {"missing": []})
    return plan


def main() -> None:
    module = Module(
        argument_spec={
            "certificates": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "content": {"type": "str", "required": True}},
            },
            "environment": {"type": "dict", "default": {}},
            "environment_file": {"type": "path", "default": ENVIRONMENT},
            "directory": {"type": "path", "default": DIRECTORY},
            "bundle": {"type": "path", "default": BUNDLE},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    wanted: dict[Path, str] = {}
    for certificate in module.params["certificates"]:
        if not fingerprints(certificate["content"]):
            module.fail_json(
                msg=f"The certificate {certificate['name']} holds no PEM block; expected text that begins with "
                "-----BEGIN CERTIFICATE-----. Convert it with: openssl x509 -inform der -in FILE"
            )
        wanted[directory / file_name(certificate["name"])] = certificate["content"].rstrip("\n") + "\n"

    tool = module.get_bin_path("update-ca-certificates")
    plan = make_plan(wanted, Path(module.params["bundle"]), can_rebuild=tool is not None)
    sessions = Path(module.params["environment_file"])
    before = read(sessions)
    after = environment_text(before, module.params["environment"])
    rebuild = bool(plan)
    if after != before:
        plan.add(str(sessions), {"lines": before.splitlines()}, {"lines": after.splitlines()})
    if not module.check_mode:
        known = any(path.exists() for path in wanted)
        for path, text in wanted.items():
            if fingerprints(read(path)) != fingerprints(text):
                write(path, text)
        if rebuild and tool is not None:
            # --fresh forgets what an earlier certificate of the same file name was; that takes some seconds.
            code, out, err = module.run_command([tool, *(["--fresh"] if known else [])])
            if code != 0:
                module.fail_json(msg=f"update-ca-certificates failed: {err.strip() or out.strip()}")
        if after != before:
            write(sessions, after)
    module.exit_json(changed=bool(plan), diff=plan.as_diff(), actions=plan.summary())


if __name__ == "__main__":
    main()
