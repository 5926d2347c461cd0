# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where errors of the SDK and of the server become sentences.

Private to this collection.
"""

from __future__ import annotations

import asyncio
import re
import typing as t

Kind = t.Literal[
    "sdk_missing", "unreachable", "not_temporal", "tls", "unauthenticated", "permission_denied", "namespace_not_found",
    "not_found", "already_exists", "deadline", "invalid", "limit", "unsupported", "option", "other",
]  # fmt: skip


class TemporalError(Exception):
    """Something the operator must know, as a sentence. ``kind`` is for programs."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message


_LATE = "no answer in time. Check the server and its database, or raise timeout_seconds."
_STATUS_CAUSES: t.Final[dict[str, tuple[Kind, str]]] = {
    "UNAVAILABLE": (
        "unreachable",
        "the server is starting, stopping or has no database. Look at its log, then run again.",
    ),
    "UNAUTHENTICATED": (
        "unauthenticated",
        "the server does not accept our credentials. Check api_key or the client certificate.",
    ),
    "PERMISSION_DENIED": (
        "permission_denied",
        "our credentials do not allow this. Use ones that may use the namespace; to change it takes its admin role or that "
        "of temporal-system.",
    ),
    "DEADLINE_EXCEEDED": ("deadline", _LATE),
    "CANCELLED": ("deadline", _LATE),
    "NOT_FOUND": ("not_found", "it does not exist."),
    "ALREADY_EXISTS": ("already_exists", "it exists already; somebody else made it in this moment. Run again."),
    "INVALID_ARGUMENT": ("invalid", "the server does not accept the values. Correct them."),
    "FAILED_PRECONDITION": ("invalid", "the server's state does not allow this now."),
    "RESOURCE_EXHAUSTED": (
        "limit",
        "the server limits the rate of calls. Run again later, or raise frontend.namespaceRPS.",
    ),
    "UNIMPLEMENTED": ("unsupported", "this release of the server cannot do that. Check its version and the address."),
}

# First match wins; matched against the SDK's text for a connection that could not be made.
_CONNECT_CAUSES: t.Final[tuple[tuple[str, Kind, str], ...]] = (
    (
        "InvalidContentType",
        "tls",
        "the server does not speak TLS. Set tls to false, or check that the address is that of the frontend.",
    ),
    (
        "UnknownIssuer",
        "tls",
        "the server's certificate is signed by an authority that is not trusted. Set tls_ca_file to the PEM file of it.",
    ),
    ("NotValidForName", "tls", "the server's certificate is for another name. Set tls_server_name to a name in it."),
    ("Expired", "tls", "the server's certificate has expired or is not valid yet. Renew it, and check the clocks."),
    ("CertificateRequired", "tls", "the server asks for a client certificate. Set tls_cert_file and tls_key_file."),
    ("AlertReceived", "tls", "the server refused our certificate. Check tls_cert_file and the authorities it knows."),
    ("certificate", "tls", "the server's certificate was not accepted. Check tls_ca_file and tls_server_name."),
    ("Connection refused", "unreachable", "nothing listens there. Check the address, and that the server is running."),
    ("dns error", "unreachable", "the name cannot be resolved on this host. Check the address and the host's DNS."),
    ("No route to host", "unreachable", "there is no route. Check the network and firewalls between the hosts."),
    ("Network is unreachable", "unreachable", "there is no route. Check the network and firewalls between the hosts."),
    ("timed out", "unreachable", "no answer. Check the address and firewalls between the hosts."),
    ("tcp connect error", "unreachable", "no connection. Check the address, the network and that the server runs."),
    ("code: Unauthenticated|401 Unauthorized", *_STATUS_CAUSES["UNAUTHENTICATED"]),
    ("code: PermissionDenied|403 Forbidden", *_STATUS_CAUSES["PERMISSION_DENIED"]),
    ("code: Unavailable", *_STATUS_CAUSES["UNAVAILABLE"]),
    (
        "transport error|h2 protocol error|operation was canceled|connection closed",
        "not_temporal",
        "what answers there is no Temporal frontend, or it wants TLS. Check the port; set tls to true if it does.",
    ),
)


def explain(error: BaseException, address: str, doing: str, seconds: float = 0) -> TemporalError:
    """The sentence for an error of the SDK or the server.

    :param address: of the frontend, for the sentence.
    :param doing: what was attempted, such as ``create namespace orders``.
    :param seconds: the deadline, named when it was missed.
    """
    if isinstance(error, TemporalError):
        return error
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        kind, advice = _STATUS_CAUSES["DEADLINE_EXCEEDED"]
        return TemporalError(kind, f"Temporal at {address}: cannot {doing} within {seconds:g} s: {advice}")
    text = str(getattr(error, "message", "") or error).strip()
    status = getattr(getattr(error, "status", None), "name", "")
    if status == "NOT_FOUND" and _is_about_namespace(error, text):
        return TemporalError(
            "namespace_not_found",
            f"Temporal at {address}: cannot {doing}: {text} Create it with durable.temporal.namespace.",
        )
    if status in _STATUS_CAUSES:
        kind, advice = _STATUS_CAUSES[status]
        return TemporalError(kind, f"Temporal at {address}: cannot {doing}: {advice} The server says: {text}")
    for part, kind, advice in _CONNECT_CAUSES:
        if re.search(part, text, re.IGNORECASE):
            return TemporalError(kind, f"Temporal at {address}: cannot {doing}: {advice}")
    return TemporalError("other", f"Temporal at {address}: cannot {doing}: {text or type(error).__name__}")


def _is_about_namespace(error: BaseException, text: str) -> bool:
    details = getattr(getattr(error, "grpc_status", None), "details", [])
    urls = [str(getattr(detail, "type_url", "")) for detail in details]
    return any(url.endswith("NamespaceNotFoundFailure") for url in urls) or bool(
        re.search(r"namespace \S+ is not found", text, re.IGNORECASE)
    )
