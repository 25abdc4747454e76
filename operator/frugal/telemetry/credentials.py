"""How the operator proves to Prometheus who it is: files that are read anew, because a Secret's rotate."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path

from frugal.errors import TelemetryError

# As Secrets of the types kubernetes.io/basic-auth and kubernetes.io/tls, and a service account's folder, name them.
TOKEN, USERNAME, PASSWORD = "token", "username", "password"
AUTHORITY, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is shown to Prometheus with every query.

    folder: holds `token`, or `username` and `password`; `ca.crt` to check the server by; `tls.crt` and `tls.key` to be
    known by. Each may be absent; "" is no folder. token: where it comes from the environment instead.
    tenant: the header X-Scope-OrgID of Mimir and Cortex.
    """

    folder: str = ""
    token: str = ""
    tenant: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers of a query; raises TelemetryError where the files contradict each other."""
        token, username = self.token or self._text(TOKEN), self._text(USERNAME)
        if token and username:
            raise TelemetryError(f"{self.folder} has both {TOKEN} and {USERNAME}: leave out one of them")
        headers = {"X-Scope-OrgID": self.tenant} if self.tenant else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif username:
            pair = f"{username}:{self._text(PASSWORD)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    def tls(self) -> ssl.SSLContext | bool:
        """Return how to check the server and be known to it; True is the system's own way."""
        authority, certificate, key = (self._path(name) for name in (AUTHORITY, CERTIFICATE, KEY))
        if authority is None and certificate is None:
            return True
        if (certificate is None) != (key is None):
            raise TelemetryError(f"{self.folder} needs both {CERTIFICATE} and {KEY}, or neither")
        try:
            context = ssl.create_default_context(cafile=authority)
            if certificate is not None:
                context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise TelemetryError(f"the certificates in {self.folder} cannot be used: {error}") from error
        return context

    def _path(self, name: str) -> Path | None:
        path = Path(self.folder) / name
        return path if self.folder and path.is_file() else None

    def _text(self, name: str) -> str:
        path = self._path(name)
        try:
            return path.read_text().strip() if path is not None else ""
        except (OSError, UnicodeDecodeError) as error:
            raise TelemetryError(f"{path} cannot be read: {error}") from error
