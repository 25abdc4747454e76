"""The administrator's plain HTTPS calls to the API server of one instance, for what is asked before kubectl can help.

Tests use `kubectl` or the clients of the product.
"""

import json
import ssl
import urllib.request
from typing import cast

from tests.cluster.instance import Instance

Json = dict[str, object] | list[object] | str


def call(
    instance: Instance, method: str, path: str, body: Json | None = None, *, content_type: str = "application/json"
) -> Json:
    """Return the answer to one request, parsed where it is JSON.

    Raises:
        OSError: no connection, or an HTTP status of 400 or above (urllib's HTTPError is an OSError).
    """
    context = ssl.create_default_context(cafile=str(instance.pki / "ca.crt"))
    context.load_cert_chain(instance.pki / "admin.crt", instance.pki / "admin.key")
    request = urllib.request.Request(
        instance.must_record().server + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": content_type},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=10) as response:
        text = response.read().decode()
    return cast(Json, json.loads(text)) if text.startswith(("{", "[")) else text


def get_object(instance: Instance, path: str) -> dict[str, object]:
    """Return the object at `path`; the errors of `call`."""
    return cast(dict[str, object], call(instance, "GET", path))
