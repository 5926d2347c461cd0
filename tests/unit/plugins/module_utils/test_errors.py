# SPDX-License-Identifier: GPL-3.0-or-later
"""Each error of the SDK and the server becomes one sentence that names the address and the next step."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._errors import Kind, TemporalError, explain


class RpcError(Exception):
    """Looks like the SDK's."""

    def __init__(self, status: str, message: str, *details: str) -> None:
        super().__init__(message)
        self.message = message
        self.status = SimpleNamespace(name=status)
        self.grpc_status = SimpleNamespace(details=[SimpleNamespace(type_url=url) for url in details])


# Texts as the SDK 1.35.0 gives them.
CONNECT = "Failed client connect: Server connection error: tonic::transport::Error(Transport, ConnectError({}))"


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        (CONNECT.format('"tcp connect error", 127.0.0.1:1, Os { code: 111, message: "Connection refused" }'),
         "unreachable", "nothing listens there"),
        (CONNECT.format('"dns error", Custom { error: "failed to lookup address information" }'),
         "unreachable", "cannot be resolved"),
        (CONNECT.format('"tcp connect error", Os { code: 110, message: "Connection timed out" }'),
         "unreachable", "no answer"),
        (CONNECT.format("Custom { kind: InvalidData, error: InvalidMessage(InvalidContentType) }"),
         "tls", "does not speak TLS"),
        (CONNECT.format("InvalidCertificate(UnknownIssuer)"), "tls", "Set tls_ca_file"),
        (CONNECT.format("InvalidCertificate(NotValidForNameContext { expected: ... })"), "tls", "Set tls_server_name"),
        (CONNECT.format("InvalidCertificate(Expired)"), "tls", "expired"),
        (CONNECT.format("AlertReceived(CertificateRequired)"), "tls", "Set tls_cert_file"),
        ('Failed client connect: `get_system_info` call error after connection: Status { message: "transport error" }',
         "not_temporal", "no Temporal frontend"),
        ('Failed client connect: `get_system_info` call error after connection: Status { code: Cancelled, message: '
         '"operation was canceled" }', "not_temporal", "it wants TLS"),
        ("Failed client connect: `get_system_info` call error after connection: Status { code: Unauthenticated }",
         "unauthenticated", "Check api_key"),
        ("Failed client connect: `get_system_info` call error after connection: Status { code: Internal, message: "
         '"protocol error: received message with invalid compression flag while receiving status: 401 Unauthorized" }',
         "unauthenticated", "Check api_key"),
        ("Failed client connect: `get_system_info` call error after connection: Status { code: PermissionDenied }",
         "permission_denied", "may use the namespace"),
        ("Failed client connect: `get_system_info` call error after connection: Status { code: Unavailable }",
         "unreachable", "is starting"),
    ],
)  # fmt: skip
def test_connection_errors(text: str, kind: Kind, advice: str) -> None:
    error = explain(RuntimeError(text), "db1:7233", "connect")
    assert error.kind == kind
    assert error.message.startswith("Temporal at db1:7233: cannot connect: ")
    assert advice in error.message
    assert "tonic" not in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [("UNAVAILABLE", "unreachable"), ("UNAUTHENTICATED", "unauthenticated"), ("PERMISSION_DENIED", "permission_denied"),
     ("DEADLINE_EXCEEDED", "deadline"), ("CANCELLED", "deadline"), ("NOT_FOUND", "not_found"),
     ("ALREADY_EXISTS", "already_exists"), ("INVALID_ARGUMENT", "invalid"), ("FAILED_PRECONDITION", "invalid"),
     ("RESOURCE_EXHAUSTED", "limit"), ("UNIMPLEMENTED", "unsupported"), ("DATA_LOSS", "other")],
)  # fmt: skip
def test_statuses(status: str, kind: Kind) -> None:
    error = explain(RpcError(status, "the server's words"), "db1:7233", "create namespace orders")
    assert error.kind == kind
    assert error.message.startswith("Temporal at db1:7233: cannot create namespace orders: ")
    assert error.message.endswith("the server's words")


@pytest.mark.parametrize(
    "error",
    [
        RpcError("NOT_FOUND", "Namespace orders is not found."),
        RpcError("NOT_FOUND", "?", "type.googleapis.com/temporal.api.errordetails.v1.NamespaceNotFoundFailure"),
    ],
)
def test_a_missing_namespace_is_not_just_anything_missing(error: RpcError) -> None:
    assert explain(error, "db1:7233", "read").kind == "namespace_not_found"


def test_a_missing_workflow_is_no_missing_namespace() -> None:
    error = RpcError("NOT_FOUND", "workflow not found for ID: x", "temporal.api.errordetails.v1.NotFoundFailure")
    assert explain(error, "db1:7233", "read").kind == "not_found"


def test_a_missed_deadline_names_it() -> None:
    error = explain(asyncio.TimeoutError(), "db1:7233", "connect", 10)
    assert error.kind == "deadline"
    assert "within 10 s" in error.message


def test_what_is_explained_stays_so() -> None:
    error = TemporalError("option", "as it is")
    assert explain(error, "db1:7233", "connect") is error


def test_an_error_without_text_is_still_named() -> None:
    assert explain(KeyboardInterrupt(), "db1:7233", "connect").message.endswith("KeyboardInterrupt")
