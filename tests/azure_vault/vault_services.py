# SPDX-License-Identifier: GPL-3.0-or-later
"""What the double answers: a vault, a token service, a machine's metadata service, and GitHub's service of id tokens.

Pure as far as the network goes: a request comes in as data, and an answer goes out as data. It is strict where the real
services are: a token has an issuer, an audience and an end, and is signed; an API version is one that exists; names are
those that a vault allows.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TENANT = "72f988bf-0000-4000-8000-000000000001"
OTHER_TENANT = "72f988bf-0000-4000-8000-000000000002"
RESOURCES = {
    "vault.azure.net": "https://vault.azure.net",
    "vault.usgovcloudapi.net": "https://vault.usgovcloudapi.net",
    "vault.azure.cn": "https://vault.azure.cn",
}
AUTHORITIES = {"login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn", "login.windows.net"}
GITHUB = "pipelines.actions.githubusercontent.com"
GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
METADATA = "169.254.169.254"
EXCHANGE = "api://AzureADTokenExchange"
API_VERSIONS = {
    *("2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"),
}
NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")


@dataclass
class Answer:
    """One HTTP answer. ``kind`` is ``json``, or what is done to the connection instead: ``hang``, ``reset``."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "json"
    seconds: float = 0


@dataclass(frozen=True)
class Request:
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    tls: bool


@dataclass
class Version:
    value: str
    version: str = field(default_factory=lambda: secrets.token_hex(16))
    enabled: bool = True
    expires: int | None = None
    starts: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    created: int = field(default_factory=lambda: int(time.time()))


@dataclass
class Application:
    """An identity of the directory that asks for its own tokens."""

    client_id: str
    secret: str = ""
    certificate: str = ""  # PEM
    subject: str = ""  # of the id tokens that stand for it
    secret_expired: bool = False
    tenant: str = ""  # the only one that knows it; every one when empty


@dataclass
class Fault:
    """Something that goes wrong. ``service``, ``name`` and ``method`` say where, ``times`` how often; none means from now on.

    ``kind`` is one of :data:`FAULTS`, or ``hang``, ``reset``, ``slow``, ``trickle``, ``throttle``, ``unavailable``,
    ``expired_token``, ``wrong_challenge``, ``no_identity``, ``unknown_refusal``. ``seconds`` is how long: of a slow answer, and of a
    throttling from its first request on. ``retry_after`` is what a throttled client is told.
    """

    kind: str
    service: str = "vault"
    name: str = ""
    method: str = ""
    times: int | None = None
    seconds: float = 0
    retry_after: str = "1"
    since: float = 0


def _refusal(code: str, inner: str, message: str, status: int = 403) -> Answer:
    body: dict[str, Any] = {"code": code, "message": message}
    if inner:
        body["innererror"] = {"code": inner}
    return Answer(status, {"error": body})


FAULTS: dict[str, Callable[[Request], Answer]] = {
    "ForbiddenByRbac": lambda r: _refusal(
        "Forbidden",
        "ForbiddenByRbac",
        "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
        "definitions were changed recently, please observe propagation time.\r\n"
        "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nDecisionReason: 'DeniedWithNoValidRBAC'",
    ),
    "AccessDenied": lambda r: _refusal(
        "Forbidden",
        "AccessDenied",
        "The user, group or application 'appid=…;iss=https://sts.windows.net/…' does not have secrets get permission on "
        "key vault 'vault;location=westeurope'.",
    ),
    "ForbiddenByFirewall": lambda r: _refusal(
        "Forbidden",
        "ForbiddenByFirewall",
        "Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.9\r\n"
        "Caller: appid=…\r\nVault: vault;location=westeurope",
    ),
    "ForbiddenByConnection": lambda r: _refusal(
        "Forbidden",
        "ForbiddenByConnection",
        "Public network access is disabled and request is not from a trusted service nor via an approved private link.",
    ),
    "SecretDisabled": lambda r: _refusal(
        "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret."
    ),
    "SecretExpired": lambda r: _refusal(
        "Forbidden", "SecretExpired", "Operation get is not allowed on an expired secret."
    ),
    # As vaults of others answer: with words, and without an inner code.
    "ForbiddenPlain": lambda r: _refusal("Forbidden", "", "Operation get is not allowed on a disabled secret."),
    "ForbiddenEcho": lambda r: _refusal(
        "Forbidden", "", f"Refused:\r\n{r.headers.get('authorization')} {r.body.decode()} {'x' * 500}"
    ),
    "SecretNotFound": lambda r: _refusal(
        "SecretNotFound",
        "",
        "A secret with (name/id) was not found in this key vault. If you recently deleted this secret you may be able to "
        "recover it using the correct recovery command.",
        404,
    ),
    "Deleted": lambda r: _refusal(
        "Conflict",
        "ObjectIsDeletedButRecoverable",
        "Secret is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret "
        "can only be recovered or purged.",
        409,
    ),
    "unavailable": lambda r: _refusal("ServiceUnavailable", "", "The service is unavailable.", 503),
    "nonsense": lambda r: Answer(200, "<html>Sign in to the network</html>", {"Content-Type": "text/html"}),
}


class Services:
    """All of them, with what they know and what they were asked. Safe to be used by several threads."""

    def __init__(self, vault: str = "durable-local", tenant: str = TENANT) -> None:
        self.tenant = tenant
        self.vault = vault
        self.secrets: dict[str, list[Version]] = {}
        self.applications: dict[str, Application] = {}
        self.managed: set[str] = {""}  # client ids; the empty one is the machine's own identity
        self.github_token = secrets.token_hex(16)  # what a workflow asks GitHub with
        self.github_subject = "repo:company/platform:ref:refs/heads/main"
        self.lifetime_seconds = 3600
        self.seen: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._signing = secrets.token_bytes(32)
        self._github_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    # What tests say and ask

    def put(self, name: str, value: str, **about: Any) -> Version:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name of a secret")
        version = Version(value, **about)
        self.secrets.setdefault(name, []).append(version)
        return version

    def fail(self, kind: str, service: str = "vault", **about: Any) -> Fault:
        fault = Fault(kind, service, **about)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        self.faults.clear()

    def forget(self) -> None:
        with self._lock:
            self.seen.clear()

    def count(self, service: str, **about: Any) -> int:
        with self._lock:
            return sum(
                entry["service"] == service and all(entry.get(k) == v for k, v in about.items()) for entry in self.seen
            )

    def summary(self) -> dict[str, Any]:
        """How often each secret was asked for, how many tokens were given, how many requests there were in all."""
        with self._lock:
            seen = list(self.seen)
        reads: dict[str, int] = {}
        for entry in seen:
            if entry["service"] == "vault" and entry["method"] == "GET" and entry["name"]:
                reads[entry["name"]] = reads.get(entry["name"], 0) + 1
        tokens = sum(e["service"] in ("token", "metadata") and e["grant"] for e in seen)
        return {
            "reads": reads,
            "tokens": tokens,
            "requests": len(seen),
            "without_token": sum(e["service"] == "vault" and not e["authorized"] for e in seen),
        }

    # Answering

    def answer(self, request: Request) -> Answer:
        """The answer to one request, which is counted."""
        service, name = self._place(request)
        entry: dict[str, Any] = {
            "service": service,
            "name": name,
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "authorized": "authorization" in request.headers,
            "grant": False,
            "at": time.time(),
        }
        with self._lock:
            self.seen.append(entry)
            fault = self._fault(service, name, request.method)
        answer = getattr(self, f"_{service}")(request, fault, entry)
        entry["status"] = answer.status
        return answer

    def _place(self, request: Request) -> tuple[str, str]:
        parts = request.path.strip("/").split("/")
        if parts[0] == "metadata":
            return "metadata", ""
        if parts[0] == "github" or request.host == GITHUB:
            return "github", ""
        if parts[0] == "secrets":
            return "vault", parts[1] if len(parts) > 1 else ""
        if request.host in AUTHORITIES or parts[-1] in ("token", "instance", "openid-configuration"):
            return "token", ""
        return "nothing", ""

    def _fault(self, service: str, name: str, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.service not in (service, "any") or (fault.name and fault.name != name):
                continue
            if fault.method and fault.method != method:
                continue
            now = time.monotonic()
            if fault.kind == "throttle" and fault.seconds:
                fault.since = fault.since or now
                if now - fault.since > fault.seconds:
                    continue
            if fault.times is not None:
                if fault.times <= 0:
                    continue
                fault.times -= 1
            return fault
        return None

    @staticmethod
    def _common(request: Request, fault: Fault | None) -> Answer | None:
        """Faults that any service may have."""
        if fault is None:
            return None
        if fault.kind in ("hang", "reset"):
            return Answer(0, kind=fault.kind, seconds=fault.seconds)
        if fault.kind == "throttle":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            return Answer(429, {"error": {"code": "Throttled", "message": "Too many requests."}}, headers)
        if fault.kind in FAULTS:
            return FAULTS[fault.kind](request)
        return None

    def _nothing(self, request: Request, fault: Fault | None, entry: dict[str, Any]) -> Answer:
        return Answer(404, {"error": {"code": "NotFound", "message": f"nothing at {request.host}{request.path}"}})

    # Tokens: header.claims.signature, as everywhere; only this double can make or check them.

    def issue(self, audience: str, who: str, tenant: str = "", lifetime: float | None = None) -> str:
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant or self.tenant}/",
            "nbf": now - 5,
            "exp": int(now + (self.lifetime_seconds if lifetime is None else lifetime)),
            "appid": who,
        }
        text = f"{_b64(b'{}')}.{_b64(json.dumps(claims).encode())}"
        return f"{text}.{_b64(hmac.digest(self._signing, text.encode(), 'sha256'))}"

    def _claims(self, token: str) -> dict[str, Any] | None:
        text, _dot, signature = token.rpartition(".")
        expected = _b64(hmac.digest(self._signing, text.encode(), "sha256"))
        if not hmac.compare_digest(signature, expected):
            return None
        claims: dict[str, Any] = json.loads(_unb64(text.split(".")[1]))
        return claims

    # The vault

    def _vault(self, request: Request, fault: Fault | None, entry: dict[str, Any]) -> Answer:
        resource = next(
            (r for s, r in RESOURCES.items() if request.host.endswith(f".{s}")), RESOURCES["vault.azure.net"]
        )
        if not request.tls:
            return Answer(400, {"error": {"code": "BadRequest", "message": "HTTPS is required."}})
        if request.query.get("api-version") not in API_VERSIONS:
            return _refusal("BadParameter", "", "The specified version is not supported by the service.", 400)
        if fault is not None and fault.kind == "wrong_challenge":
            return self._challenge(
                "https://vault.attacker.example", "AKV10000: Request is missing a Bearer or PoP token."
            )
        if (answer := self._common(request, fault)) is not None:
            return answer
        problem = self._unauthorized(request, resource)
        if problem:
            return self._challenge(resource, problem)
        parts = request.path.strip("/").split("/")
        if len(parts) < 2 or not NAME.fullmatch(parts[1]) or len(parts) > 3:
            return _refusal("BadParameter", "", "The request URI contains an invalid name.", 400)
        if request.method == "GET":
            answer = self._read(request, parts[1], parts[2] if len(parts) > 2 else "")
        elif request.method == "PUT" and len(parts) == 2:
            answer = self._write(request, parts[1])
        elif request.method == "PATCH" and len(parts) == 3:
            answer = self._update(request, parts[1], parts[2])
        else:
            answer = Answer(405, {"error": {"code": "MethodNotAllowed", "message": request.method}})
        if fault is not None and fault.kind in ("slow", "trickle"):
            answer.kind, answer.seconds = fault.kind, fault.seconds
        return answer

    def _challenge(self, resource: str, problem: str) -> Answer:
        header = f'Bearer authorization="https://login.microsoftonline.com/{self.tenant}", resource="{resource}"'
        answer = _refusal("Unauthorized", "", problem, 401)
        answer.headers["WWW-Authenticate"] = header
        return answer

    def _unauthorized(self, request: Request, resource: str) -> str:
        scheme, _blank, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "AKV10000: Request is missing a Bearer or PoP token."
        claims = self._claims(token)
        if claims is None:
            return "AKV10001: The signature of the token is not valid."
        if claims["aud"] != resource:
            return f"AKV10022: Invalid audience. Expected {resource}, found: {claims['aud']}."
        if self.tenant not in claims["iss"]:
            return f"AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{self.tenant}/, found {claims['iss']}."
        if claims["exp"] <= time.time():
            return "[TokenExpired] Error validating token: 'S2S12086'."
        return ""

    def _read(self, request: Request, name: str, wanted: str) -> Answer:
        versions = [v for v in self.secrets.get(name, []) if not wanted or v.version == wanted]
        if not versions:
            return FAULTS["SecretNotFound"](request)
        if not versions[-1].enabled:
            return FAULTS["SecretDisabled"](request)
        return Answer(200, self._bundle(request, name, versions[-1]))

    def _write(self, request: Request, name: str) -> Answer:
        try:
            given = json.loads(request.body)
            value = given["value"]
        except (ValueError, KeyError, TypeError):
            return _refusal("BadParameter", "", "Property value is required.", 400)
        made = self.put(name, str(value), tags=given.get("tags") or {}, content_type=given.get("contentType"))
        return Answer(200, self._bundle(request, name, made))

    def _update(self, request: Request, name: str, wanted: str) -> Answer:
        version = next((v for v in self.secrets.get(name, []) if v.version == wanted), None)
        if version is None:
            return FAULTS["SecretNotFound"](request)
        version.tags = json.loads(request.body).get("tags", version.tags)
        bundle = self._bundle(request, name, version)
        del bundle["value"]
        return Answer(200, bundle)

    @staticmethod
    def _bundle(request: Request, name: str, version: Version) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            "enabled": version.enabled,
            "created": version.created,
            "updated": version.created,
        }
        if version.expires is not None:
            attributes["exp"] = version.expires
        if version.starts is not None:
            attributes["nbf"] = version.starts
        return {
            "value": version.value,
            "id": f"https://{request.host}/secrets/{quote(name)}/{version.version}",
            "attributes": attributes,
            "tags": version.tags,
            **({"contentType": version.content_type} if version.content_type else {}),
        }

    # The token service

    def _token(self, request: Request, fault: Fault | None, entry: dict[str, Any]) -> Answer:
        if (answer := self._common(request, fault)) is not None:
            return answer
        if not request.tls:
            return Answer(400, {"error": "invalid_request"})
        parts = request.path.strip("/").split("/")
        if parts[-1] == "instance":
            host = request.query.get("authorization_endpoint", "").split("/")[2:3]
            if host and host[0] not in AUTHORITIES:
                return Answer(400, {"error": "invalid_instance", "error_description": "AADSTS50049: Unknown instance."})
            tenant = f"https://{request.host}/{self.tenant}"
            return Answer(
                200,
                {
                    "tenant_discovery_endpoint": f"{tenant}/v2.0/.well-known/openid-configuration",
                    "api-version": "1.1",
                    "metadata": [
                        {
                            "preferred_network": request.host,
                            "preferred_cache": request.host,
                            "aliases": [request.host],
                        }
                    ],
                },
            )
        tenant = parts[0]
        if tenant not in (self.tenant, OTHER_TENANT):
            return _aadsts(90002, f"Tenant '{tenant}' not found.", "invalid_tenant")
        base = f"https://{request.headers.get('host', request.host)}/{tenant}"
        if parts[-1] == "openid-configuration":
            return Answer(
                200,
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                },
            )
        form = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", form.get("client_id", "")):
            return _aadsts(700038, f"{form.get('client_id')} is not a valid application identifier.")
        if fault is not None and fault.kind == "unknown_refusal":
            words = f"Nobody has heard of '{form.get('client_id')}' with '{form.get('client_secret')}'."
            return _aadsts(999123, words, "invalid_client")
        application = self.applications.get(form.get("client_id", ""))
        if application is None or (application.tenant and application.tenant != tenant):
            return _aadsts(700016, f"Application '{form.get('client_id')}' was not found in the directory.")
        refused = self._proof(application, form, f"{base}/oauth2/v2.0/token")
        if refused:
            return refused
        scope = form.get("scope", "").split()[0:1]
        audience = scope[0].removesuffix("/.default") if scope else ""
        return self._grant(fault, entry, audience, application.client_id, tenant)

    def _grant(self, fault: Fault | None, entry: dict[str, Any], audience: str, who: str, tenant: str = "") -> Answer:
        entry["grant"] = True
        lifetime = self.lifetime_seconds
        token = self.issue(audience, who, tenant, -10 if fault and fault.kind == "expired_token" else lifetime)
        body = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "expires_on": int(time.time()) + lifetime,
            "resource": audience,
        }
        return Answer(200, body)

    def _proof(self, application: Application, form: Mapping[str, str], endpoint: str) -> Answer | None:
        """``None`` when the caller has shown to be that application."""
        if form.get("grant_type") != "client_credentials":
            return _aadsts(70003, "The grant type is not supported.", "unsupported_grant_type")
        if "client_secret" in form:
            if application.secret_expired:
                return _aadsts(7000222, "The provided client secret keys for app are expired.", "invalid_client")
            if not application.secret or not hmac.compare_digest(application.secret, form["client_secret"]):
                return _aadsts(7000215, "Invalid client secret provided.", "invalid_client")
            return None
        assertion = form.get("client_assertion", "")
        if (
            form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            or not assertion
        ):
            return _aadsts(7000216, "'client_assertion', 'client_secret' or 'request' is required.", "invalid_client")
        return self._assertion(application, assertion, endpoint)

    def _assertion(self, application: Application, assertion: str, endpoint: str) -> Answer | None:
        try:
            head, claims = (json.loads(_unb64(part)) for part in assertion.split(".")[:2])
            signed, _dot, signature = assertion.rpartition(".")
        except ValueError:
            return _aadsts(50027, "Invalid JWT token.", "invalid_request")
        federated = claims.get("iss") == GITHUB_ISSUER
        if federated:
            key = self._github_key.public_key()
        elif application.certificate:
            certificate = x509.load_pem_x509_certificate(application.certificate.encode())
            thumbprints = {
                head.get("x5t#S256"): _b64(certificate.fingerprint(hashes.SHA256())),
                head.get("x5t"): _b64(certificate.fingerprint(hashes.SHA1())),
            }
            if not any(told.rstrip("=") == real for told, real in thumbprints.items() if told):
                return _aadsts(700027, "The certificate with this identifier was not found.", "invalid_client")
            public = certificate.public_key()
            assert isinstance(public, rsa.RSAPublicKey)
            key = public
        else:
            return _aadsts(700027, "The application has no certificate.", "invalid_client")
        scheme: Any = padding.PKCS1v15()
        if head.get("alg") == "PS256":
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        try:
            key.verify(_unb64(signature), signed.encode(), scheme, hashes.SHA256())
        except InvalidSignature:
            return _aadsts(700027, "Client assertion failed signature validation.", "invalid_client")
        if claims["exp"] <= time.time():
            return _aadsts(700024, "Client assertion is not within its valid time range.", "invalid_client")
        if federated:
            if claims["aud"] != EXCHANGE:
                return _aadsts(700212, "No matching federated identity record found for presented assertion audience.")
            if not application.subject or claims["sub"] != application.subject:
                return _aadsts(700213, f"No matching federated identity record found for subject '{claims['sub']}'.")
        elif claims["aud"] != endpoint or claims["iss"] != application.client_id:
            return _aadsts(700021, "Client assertion audience or issuer does not match.", "invalid_client")
        return None

    # A machine's own service

    def _metadata(self, request: Request, fault: Fault | None, entry: dict[str, Any]) -> Answer:
        if (answer := self._common(request, fault)) is not None:
            return answer
        if request.tls or request.headers.get("metadata") != "true" or "x-forwarded-for" in request.headers:
            return Answer(
                400, {"error": "bad_request_102", "error_description": "Required metadata header not specified"}
            )
        if request.path != "/metadata/identity/oauth2/token" or request.query.get("api-version") != "2018-02-01":
            return Answer(400, {"error": "bad_request", "error_description": "Invalid api-version"})
        who = request.query.get("client_id", "")
        if who not in self.managed or (fault is not None and fault.kind == "no_identity"):
            return Answer(400, {"error": "invalid_request", "error_description": "Identity not found"})
        answer = self._grant(fault, entry, request.query.get("resource", ""), who or "system")
        for number in ("expires_in", "expires_on"):
            answer.body[number] = str(answer.body[number])
        return answer

    # GitHub

    def _github(self, request: Request, fault: Fault | None, entry: dict[str, Any]) -> Answer:
        if (answer := self._common(request, fault)) is not None:
            return answer
        if request.headers.get("authorization") != f"Bearer {self.github_token}":
            return Answer(401, {"message": "Bad credentials"})
        return Answer(200, {"value": self.id_token(request.query.get("audience", "https://github.com/company"))})

    def id_token(self, audience: str, lifetime: float = 300) -> str:
        claims = {
            "iss": GITHUB_ISSUER,
            "sub": self.github_subject,
            "aud": audience,
            "exp": int(time.time() + lifetime),
        }
        text = f"{_b64(json.dumps({'alg': 'RS256', 'typ': 'JWT'}).encode())}.{_b64(json.dumps(claims).encode())}"
        signature = self._github_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_b64(signature)}"


def _aadsts(number: int, message: str, error: str = "unauthorized_client") -> Answer:
    trace = "Trace ID: 0f5a Correlation ID: 77aa Timestamp: 2026-01-01 00:00:00Z"
    body = {"error": error, "error_description": f"AADSTS{number}: {message} {trace}", "error_codes": [number]}
    return Answer(401 if error == "invalid_client" else 400, body)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
