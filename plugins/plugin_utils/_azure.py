# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SDK of Azure, as far as it is used, or which part of it is missing.

Private to this collection. A controller that keeps no secrets in Azure does not need it, so nothing else imports it.
"""

from __future__ import annotations

__all__ = [
    "MISSING",
    "AccessToken",
    "AzureCliCredential",
    "AzureError",
    "CertificateCredential",
    "ClientAssertionCredential",
    "ClientAuthenticationError",
    "ClientSecretCredential",
    "CredentialUnavailableError",
    "DefaultAzureCredential",
    "HttpRequest",
    "HttpResponseError",
    "KeyVaultSecret",
    "ManagedIdentityCredential",
    "PipelineClient",
    "RequestsTransport",
    "ResourceNotFoundError",
    "SecretClient",
    "ServiceRequestError",
    "ServiceResponseError",
    "WorkloadIdentityCredential",
]

MISSING = ""
try:
    from azure.core import PipelineClient
    from azure.core.credentials import AccessToken
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ResourceNotFoundError,
        ServiceRequestError,
        ServiceResponseError,
    )
    from azure.core.pipeline.transport import RequestsTransport
    from azure.core.rest import HttpRequest
    from azure.identity import (
        AzureCliCredential,
        CertificateCredential,
        ClientAssertionCredential,
        ClientSecretCredential,
        CredentialUnavailableError,
        DefaultAzureCredential,
        ManagedIdentityCredential,
        WorkloadIdentityCredential,
    )
    from azure.keyvault.secrets import KeyVaultSecret, SecretClient
except ImportError as error:
    MISSING = error.name or str(error)
