"""Raw calls to the Kubernetes API through the official client's async part, with every fault as a ClusterError.

Every call ends within its timeout. Nothing here knows an object's meaning; see docs/decisions on the choice of client.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from frugal.decisions.snapshot import Manifest
from frugal.errors import ClusterError, ClusterUnavailable, Conflict, Forbidden, NotFound, Rejected

FIELD_MANAGER = "frugal"
CALL_SECONDS = 20.0
CONNECTIONS = 32  # at a time; enough for all workers, followers of logs and the lease

_JSON = "application/json"
_STRATEGIC_MERGE = "application/strategic-merge-patch+json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach and to convince the API server; for kopf, which brings a client of its own."""

    server: str
    ca_path: str | None
    is_insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    token: str | None


class Api:
    """The Kubernetes API of one cluster. `monotonic` is a clock in seconds that never goes back."""

    def __init__(self, client: ApiClient, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._monotonic = client, monotonic
        self._answered_at = float("-inf")
        self.requests = 0  # made since the start

    @classmethod
    async def connect(cls, kubeconfig: str = "") -> Api:
        """Return the API that `kubeconfig` names, by default that of the cluster in which this runs.

        kubeconfig: paths as in the variable KUBECONFIG. Raises ClusterUnavailable when no configuration is usable.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = CONNECTIONS
        configuration.retries = 0  # the queue retries, with backoff and in the open
        try:
            if kubeconfig:
                await load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=kubeconfig, client_configuration=configuration, persist_config=False
                )
            else:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError) as error:
            raise ClusterUnavailable(
                f"no Kubernetes API to talk to: {error}; set KUBECONFIG, or run in a pod with a ServiceAccount"
            ) from error
        return cls(ApiClient(configuration))

    @property
    def silent_seconds(self) -> float:
        """How long ago the server last answered anything but a fault of its own."""
        return self._monotonic() - self._answered_at

    async def connection(self) -> Connection:
        """Return how the server is reached, with a token that is fresh now."""
        known: Any = self._client.configuration
        bearer: str | None = await known.get_api_key_with_prefix("BearerToken")
        return Connection(
            server=known.host,
            ca_path=known.ssl_ca_cert,
            is_insecure=not known.verify_ssl,
            certificate_path=known.cert_file,
            private_key_path=known.key_file,
            token=bearer.split(" ", 1)[-1] if bearer else None,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str, **query: str) -> Manifest:
        """Return what stands at `path`; raises NotFound."""
        return await self._json("GET", path, query)

    async def create(self, path: str, body: Manifest) -> Manifest:
        """Create an object in a collection; raises Conflict when its name is taken."""
        return await self._json("POST", path, {"fieldManager": FIELD_MANAGER}, body)

    async def replace(self, path: str, body: Manifest) -> Manifest:
        """Replace an object; raises Conflict when its resourceVersion is not the newest."""
        return await self._json("PUT", path, {"fieldManager": FIELD_MANAGER}, body)

    async def apply(self, path: str, body: Manifest, *, manager: str = FIELD_MANAGER) -> Manifest:
        """Apply an object server-side; fields that another manager holds are taken over."""
        return await self._json("PATCH", path, {"fieldManager": manager, "force": "true"}, body, _APPLY)

    async def patch(self, path: str, body: Manifest) -> Manifest:
        """Change a part of an object; lists of a built-in kind are merged by their keys."""
        return await self._json("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, _STRATEGIC_MERGE)

    async def delete(self, path: str, *, uid: str) -> Manifest:
        """Delete exactly this object and, in the background, what it owns; raises NotFound or Conflict."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        return await self._json("DELETE", path, {}, options)

    @asynccontextmanager
    async def stream(self, path: str, **query: str) -> AsyncIterator[aiohttp.StreamReader]:
        """Open an endless answer, such as a followed log or a watch; no timeout between its bytes."""
        endless = aiohttp.ClientTimeout(total=None, sock_connect=CALL_SECONDS)
        response = await self._call("GET", path, query, within=endless)
        try:
            if response.status != 200:
                raise _fault(response.status, await response.read(), path)
            yield response.content
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterUnavailable(f"{path}: {_words(error)}") from error
        finally:
            response.close()

    async def _json(
        self, method: str, path: str, query: Mapping[str, str], body: Manifest | None = None, content: str = _JSON
    ) -> Manifest:
        response = await self._call(
            method, path, query, body, content, within=aiohttp.ClientTimeout(total=CALL_SECONDS)
        )
        try:
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterUnavailable(f"{method} {path}: {_words(error)}") from error
        if response.status >= 400:
            raise _fault(response.status, text, path)
        document: Manifest = json.loads(text)
        return document

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Manifest | None = None,
        content: str = _JSON,
        *,
        within: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        self.requests += 1
        serialized: Any = await self._client.param_serialize(
            method,
            f"{path}?{urlencode(query)}" if query else path,
            header_params={"Accept": _JSON, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        _, url, headers, text, _ = serialized
        try:
            answer = await self._client.call_api(method, url, headers, text, _request_timeout=within)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailable(f"{method} {path}: {_words(error)}") from error
        response: aiohttp.ClientResponse = answer.response
        if response.status < 500:
            self._answered_at = self._monotonic()
        return response


def _fault(status: int, text: bytes, path: str) -> ClusterError:
    """Return the error that an answer means, with the server's own words."""
    message = f"{_message(text)} (HTTP {status}, {path})"
    match status:
        case 403:
            return Forbidden(message)
        case 404:
            return NotFound(message)
        case 409:
            return Conflict(message)
        case 400 | 405 | 406 | 413 | 415 | 422:
            return Rejected(message)
        case _:  # 401 while a token is renewed, 410 of a stale watch, 429, 5xx
            return ClusterUnavailable(message)


def _message(text: bytes) -> str:
    try:
        status: Any = json.loads(text)
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")[:500].strip() or "no message"


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
