# Copyright (c) 2026 The durable.temporal contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach an Azure Key Vault, and as whom. The settings are in plugin_utils/_key_vault_settings.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Use as C(durable.temporal.keyvault) in plugins, which have variables, environment and configuration."""

    DOCUMENTATION = r"""
options:
  vault:
    description:
      - The vault - its name, such as V(company-prod), or its URL, such as
        V(https://company-prod.vault.azure.net).
      - A reference that names a vault of its own does not need it.
    type: str
    vars:
      - name: keyvault_vault
    env:
      - name: DURABLE_KEYVAULT_VAULT
    ini:
      - section: durable_keyvault
        key: vault
  auth_method:
    description:
      - Who asks. Nothing is guessed unless this is V(auto), and nothing else is tried when it fails.
      - V(auto) takes the first of these that is there. An application (O(client_id) and O(tenant_id)) with what proves
        it, in this order - a workflow of GitHub that may ask for a token, or O(oidc_token); O(federated_token_file);
        O(client_secret); O(client_certificate). Without an application, the endpoint of a managed identity that the
        environment names; the login of the Azure CLI; the identity of the virtual machine, after a look whether there
        is one.
      - V(managed_identity) is the identity of the machine, or the one of O(client_id).
      - V(workload_identity) is an application with O(federated_token_file).
      - V(oidc) is an application that trusts the workflow - GitHub is asked for a token that tells about the job, which
        Azure takes instead of a password.
      - V(client_secret) and V(client_certificate) are an application with one of these.
      - V(cli) is who is logged in with C(az login), for people at their desks.
      - V(default) is C(DefaultAzureCredential) of the SDK with everything that it tries.
    type: str
    default: auto
    choices: [auto, managed_identity, workload_identity, oidc, client_secret, client_certificate, cli, default]
    vars:
      - name: keyvault_auth_method
    env:
      - name: DURABLE_KEYVAULT_AUTH_METHOD
    ini:
      - section: durable_keyvault
        key: auth_method
  tenant_id:
    description:
      - Tenant of the application, and of the vault.
    type: str
    vars:
      - name: keyvault_tenant_id
    env:
      - name: AZURE_TENANT_ID
      - name: DURABLE_KEYVAULT_TENANT_ID
    ini:
      - section: durable_keyvault
        key: tenant_id
  client_id:
    description:
      - Application that asks; with a managed identity, the client id of one that is assigned by a user.
    type: str
    vars:
      - name: keyvault_client_id
    env:
      - name: AZURE_CLIENT_ID
      - name: DURABLE_KEYVAULT_CLIENT_ID
    ini:
      - section: durable_keyvault
        key: client_id
  client_secret:
    description:
      - Secret of the application.
    type: str
    vars:
      - name: keyvault_client_secret
    env:
      - name: AZURE_CLIENT_SECRET
      - name: DURABLE_KEYVAULT_CLIENT_SECRET
    ini:
      - section: durable_keyvault
        key: client_secret
  client_certificate:
    description:
      - PEM or PKCS12 file on the controller with the certificate of the application and its key.
    type: path
    vars:
      - name: keyvault_client_certificate
    env:
      - name: AZURE_CLIENT_CERTIFICATE_PATH
      - name: DURABLE_KEYVAULT_CLIENT_CERTIFICATE
    ini:
      - section: durable_keyvault
        key: client_certificate
  client_certificate_password:
    description:
      - Password of O(client_certificate).
    type: str
    vars:
      - name: keyvault_client_certificate_password
    env:
      - name: AZURE_CLIENT_CERTIFICATE_PASSWORD
      - name: DURABLE_KEYVAULT_CLIENT_CERTIFICATE_PASSWORD
    ini:
      - section: durable_keyvault
        key: client_certificate_password
  federated_token_file:
    description:
      - File with the token that Kubernetes or Azure Arc writes, for V(workload_identity).
    type: path
    vars:
      - name: keyvault_federated_token_file
    env:
      - name: AZURE_FEDERATED_TOKEN_FILE
      - name: DURABLE_KEYVAULT_FEDERATED_TOKEN_FILE
    ini:
      - section: durable_keyvault
        key: federated_token_file
  oidc_token:
    description:
      - Token of the job, for V(oidc) outside of GitHub. In a workflow of GitHub it is fetched by itself.
    type: str
    vars:
      - name: keyvault_oidc_token
    env:
      - name: AZURE_FEDERATED_TOKEN
      - name: DURABLE_KEYVAULT_OIDC_TOKEN
    ini:
      - section: durable_keyvault
        key: oidc_token
  oidc_audience:
    description:
      - Audience that GitHub is asked for. Sovereign clouds have their own.
    type: str
    default: api://AzureADTokenExchange
    vars:
      - name: keyvault_oidc_audience
    env:
      - name: DURABLE_KEYVAULT_OIDC_AUDIENCE
    ini:
      - section: durable_keyvault
        key: oidc_audience
  cloud:
    description:
      - The cloud that the vault and the identity are in. It gives O(authority), and what names of vaults end
        with.
    type: str
    choices: [public, us_government, china]
    default: public
    vars:
      - name: keyvault_cloud
    env:
      - name: DURABLE_KEYVAULT_CLOUD
    ini:
      - section: durable_keyvault
        key: cloud
  vault_suffix:
    description:
      - What the names of vaults end with, when it is not what O(cloud) says.
    type: str
    vars:
      - name: keyvault_vault_suffix
    env:
      - name: DURABLE_KEYVAULT_VAULT_SUFFIX
    ini:
      - section: durable_keyvault
        key: vault_suffix
  authority:
    description:
      - What gives tokens, when it is not what O(cloud) says - C(https://HOST) or C(https://HOST:PORT), or the name of a
        host.
    type: str
    vars:
      - name: keyvault_authority
    env:
      - name: AZURE_AUTHORITY_HOST
      - name: DURABLE_KEYVAULT_AUTHORITY
    ini:
      - section: durable_keyvault
        key: authority
  instance_discovery:
    description:
      - Whether to have Microsoft confirm that O(authority) is one of theirs. V(false) only for an own one,
        and without internet.
    type: bool
    default: true
    vars:
      - name: keyvault_instance_discovery
    env:
      - name: DURABLE_KEYVAULT_INSTANCE_DISCOVERY
    ini:
      - section: durable_keyvault
        key: instance_discovery
  verify_challenge:
    description:
      - Whether a vault gets a token only when its name belongs to what it asks a token for. V(false) lets any
        host that says so have one, and is for a vault behind another name only.
    type: bool
    default: true
    vars:
      - name: keyvault_verify_challenge
    env:
      - name: DURABLE_KEYVAULT_VERIFY_CHALLENGE
    ini:
      - section: durable_keyvault
        key: verify_challenge
  api_version:
    description:
      - Version of the vault's API; the newest that the SDK knows when not given. Older clouds may need one
        such as V(7.4).
    type: str
    vars:
      - name: keyvault_api_version
    env:
      - name: DURABLE_KEYVAULT_API_VERSION
    ini:
      - section: durable_keyvault
        key: api_version
  timeout:
    description:
      - Seconds that one call may take in all - the token, every secret of the call, and every further try.
      - A vault that says that it is asked too often is waited for within this time.
    type: float
    default: 60
    vars:
      - name: keyvault_timeout
    env:
      - name: DURABLE_KEYVAULT_TIMEOUT
    ini:
      - section: durable_keyvault
        key: timeout
  retries:
    description:
      - How often a request is tried again that got no answer, or one that the service is out of order.
    type: int
    default: 4
    vars:
      - name: keyvault_retries
    env:
      - name: DURABLE_KEYVAULT_RETRIES
    ini:
      - section: durable_keyvault
        key: retries
  proxy:
    description:
      - Proxy for HTTPS, such as V(http://proxy.company.example:3128). When not given, what E(HTTPS_PROXY) and
        E(NO_PROXY) say. The service that gives a machine its identity is never asked through a proxy.
    type: str
    vars:
      - name: keyvault_proxy
    env:
      - name: DURABLE_KEYVAULT_PROXY
    ini:
      - section: durable_keyvault
        key: proxy
  ca_certificate:
    description:
      - PEM file on the controller with the authorities to trust. When not given, what E(REQUESTS_CA_BUNDLE)
        says, or those that Python brings.
    type: path
    vars:
      - name: keyvault_ca_certificate
    env:
      - name: DURABLE_KEYVAULT_CA_CERTIFICATE
    ini:
      - section: durable_keyvault
        key: ca_certificate
  cache:
    description:
      - Whether each secret is fetched once a run, for all tasks, hosts and forks of it.
      - What is kept is encrypted with a key that only the processes of the run have, in the directory that
        Ansible makes for a run and removes at its end.
    type: bool
    default: true
    vars:
      - name: keyvault_cache
    env:
      - name: DURABLE_KEYVAULT_CACHE
    ini:
      - section: durable_keyvault
        key: cache
  allow_expired:
    description:
      - Whether to take a secret whose dates say that it is not valid now. A vault itself hands those out.
    type: bool
    default: false
    vars:
      - name: keyvault_allow_expired
    env:
      - name: DURABLE_KEYVAULT_ALLOW_EXPIRED
    ini:
      - section: durable_keyvault
        key: allow_expired
notes:
  - An option is taken from the first place that has it - the parameter of the call, the variable, the environment
    variable C(DURABLE_KEYVAULT_...), the one of the Azure SDK where there is one, the section C([durable_keyvault]) of
    C(ansible.cfg), the default.
requirements:
  - azure-identity and azure-keyvault-secrets on the controller
"""
