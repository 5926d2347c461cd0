#!/usr/bin/python
# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Judge what is declared for a host before anything is changed
version_added: 0.1.0
description:
  - Compares the variables of a host with the argument specifications of the roles that it will run, with each other,
    and with what M(durable.temporal.host_probe) saw. Returns every problem as a sentence. It never fails because of
    one, so that M(durable.temporal.preflight_report) can tell of all hosts together.
  - Runs on the controller. Values are those that the roles would see, with their defaults. Those of options with
    C(no_log) are never shown.
author:
  - The durable.temporal contributors (@durable-temporal)
extends_documentation_fragment:
  - durable.temporal.attributes.info
options:
  roles:
    description: Roles of this collection that the host will run.
    type: list
    elements: str
    required: true
  probe:
    description: What M(durable.temporal.host_probe) returned for the host; also when it failed.
    type: dict
    required: true
  ignored_variables:
    description: Names, or patterns, of variables that start like options of ours and are somebody's own.
    type: list
    elements: str
    default: []
seealso:
  - module: durable.temporal.host_probe
  - module: durable.temporal.preflight_report
"""

EXAMPLES = r"""
- name: Compare what is declared with what the roles and the host can take
  durable.temporal.preflight:
    roles: [host, docker, postgres]
    probe: "{{ __probe }}"
  register: __judged
"""

RETURN = r"""
problems:
  description: Everything that is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    about:
      description: The variable or thing that it is about.
      type: str
    text:
      description: What was found, what is expected, what to do.
      type: str
    level:
      description: V(error) or V(warning).
      type: str
roles:
  description: The roles that were judged.
  returned: always
  type: list
  elements: str
values:
  description: Values that are compared between hosts.
  returned: always
  type: dict
summary:
  description: >-
    One row for each component, with C(component), C(version), C(runtime), C(ports) and C(present), which is what is
    there already.
  returned: always
  type: list
  elements: dict
"""
