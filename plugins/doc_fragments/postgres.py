# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules for PostgreSQL reach the server."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.postgres)."""

    DOCUMENTATION = r"""
requirements:
  - psycopg2 2.9 or newer on the host (C(python3-psycopg2))
options:
  login_host:
    description: Address of the server, or the directory of its socket, as the host sees it.
    type: str
    default: 127.0.0.1
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: The user to log in as.
    type: str
    default: postgres
  login_password:
    description: Its password.
    type: str
  login_db:
    description: The database to log in to.
    type: str
    default: postgres
  ssl_mode:
    description: How the connection is protected, in libpq's words.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: File on the host with the certificates of the authorities that V(verify-ca) and V(verify-full) trust.
    type: path
  connect_timeout_seconds:
    description: How long to wait for the connection.
    type: int
    default: 10
"""
