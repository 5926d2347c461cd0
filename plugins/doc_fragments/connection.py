# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches the Temporal frontend. The argument spec is in module_utils/_temporal.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.connection) in modules of the action group C(durable.temporal.temporal)."""

    DOCUMENTATION = r"""
options:
  address:
    description:
      - Host and port of the Temporal frontend, as seen from the managed host.
      - When not given, the environment variable E(TEMPORAL_ADDRESS) of the managed host is used if it is set.
    type: str
    default: 127.0.0.1:7233
  tls:
    description:
      - Whether to connect with TLS.
      - When not given, TLS is used if O(tls_server_name), O(api_key) or one of the options with a certificate or key is.
    type: bool
  tls_ca_file:
    description: PEM file on the managed host with the authorities that the server's certificate is checked against.
      The system's authorities are used when not given.
    type: path
  tls_ca_data:
    description: The same as text, instead of O(tls_ca_file).
    type: str
  tls_cert_file:
    description: PEM file on the managed host with the client certificate, for servers that ask for one.
    type: path
  tls_cert_data:
    description: The same as text, instead of O(tls_cert_file); for example from P(durable.temporal.secret#lookup).
    type: str
  tls_key_file:
    description: PEM file on the managed host with the key of O(tls_cert_file).
    type: path
  tls_key_data:
    description: The key of O(tls_cert_data) as text. It is not written to the managed host.
    type: str
  tls_server_name:
    description: Name that the server's certificate must bear, when it is not the host in O(address).
    type: str
  api_key:
    description:
      - API key, or JSON web token, that is sent with each call.
      - When not given, the environment variable E(TEMPORAL_API_KEY) of the managed host is used if it is set.
    type: str
  timeout_seconds:
    description: Deadline in seconds of each call to the server.
    type: float
    default: 10
  venv:
    description:
      - Virtual environment on the managed host that holds the C(temporalio) package. It is used when the Python that
        runs the module does not have the package itself.
      - When not given, the environment variable E(DURABLE_TEMPORAL_VENV) of the managed host is used if it is set.
      - The role P(durable.temporal.temporal_client#role) makes it, with C(psycopg) for the options that read databases.
    type: path
    default: /opt/durable-temporal/venv
requirements:
  - "temporalio >= 1.19.0 on the managed host (Python 3.10 or newer)"
attributes:
  action_group:
    description: Use C(group/durable.temporal.temporal) in C(module_defaults) to set the connection of a play once.
    support: full
    membership:
      - durable.temporal.temporal
notes:
  - In check mode on a host that has neither the SDK nor a server yet, modules predict instead of failing.
"""
