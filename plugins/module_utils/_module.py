# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that all modules of this collection begin with. Private to this collection."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule


class Module(AnsibleModule):  # type: ignore[misc]
    """An Ansible module that does the same whatever the account that logs in has set.

    Programs and libraries (apt, Docker, libpq, the C library) answer in English, on which decisions depend; and what is
    written without a mode of its own may be read by the services it is for, although sudo or PAM set another umask.
    """

    def __init__(self, **options: t.Any) -> None:
        os.environ["LC_ALL"] = "C.UTF-8"
        os.umask(0o022)
        super().__init__(**options)
