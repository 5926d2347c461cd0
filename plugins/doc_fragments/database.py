# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches Temporal's databases. The argument spec is DATABASE in module_utils/_database.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.database) in modules with an option C(database)."""

    DOCUMENTATION = r"""
options:
  database:
    description: How to reach the PostgreSQL databases of the server, as seen from the managed host.
    type: dict
    suboptions:
      host:
        description: Name or address of the database server.
        type: str
        default: 127.0.0.1
      port:
        description: Port of the database server.
        type: int
        default: 5432
      user:
        description: Whom to connect as. Reading is enough.
        type: str
        default: temporal
      password:
        description: Password of that user.
        type: str
      name:
        description: Database of the default store.
        type: str
        default: temporal
      visibility_name:
        description: Database of the visibility store.
        type: str
        default: temporal_visibility
      sslmode:
        description: Whether the connection is encrypted and the certificate checked, in PostgreSQL's own words.
        type: str
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
        default: prefer
      sslrootcert:
        description: PEM file on the managed host with the authorities that the database's certificate is checked
          against.
        type: path
requirements:
  - "psycopg 3 or psycopg2 on the managed host, for O(database)"
"""
