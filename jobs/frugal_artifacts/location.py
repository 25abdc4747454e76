"""What a URI means: a path of this machine, or an object in a store. Looks at no store; storage.py does.

`pvc://CLAIM/PATH` is a path under the folder where the pod's claims are mounted, and never leaves its claim.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from frugal_artifacts.errors import InvalidUri

REMOTE_SCHEMES = ("s3", "gs", "az", "https", "hf", "oci")  # those of frugal.api.base.Uri that are not a path here
SECRET_PARAMETERS = frozenset(  # of signed addresses: AWS, Google, Azure, and the common hand-made ones
    {"x-amz-signature", "x-amz-security-token", "x-goog-signature", "signature", "sig", "token", "access_token", "key",
     "api_key", "apikey", "password", "secret"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a URI leads: `path` for a file of this machine, otherwise an object that fsspec reaches by `uri`."""

    uri: str
    scheme: str
    path: Path | None = None

    @property
    def name(self) -> str:
        """The last part of the path, as a file name."""
        return PurePosixPath(urlsplit(self.uri).path).name if self.path is None else self.path.name


def locate(uri: str, *, volumes: Path | None) -> Location:
    """Return where `uri` leads; `volumes` is the folder under which claims are mounted. Raises InvalidUri."""
    _refuse_credentials(uri)
    scheme, colon, rest = uri.partition(":")
    if not colon or "::" in uri:
        raise InvalidUri(uri=uri, fault="is not one plain URI", remedy="write scheme://place/path, unchained")
    if scheme == "file":
        return Location(uri=uri, scheme=scheme, path=_file_path(uri, rest))
    if scheme == "pvc":
        return Location(uri=uri, scheme=scheme, path=_claim_path(uri, volumes))
    if scheme in REMOTE_SCHEMES:
        return _remote(uri, scheme)
    known = ", ".join(("file", "pvc", *REMOTE_SCHEMES))
    raise InvalidUri(uri=uri, fault=f"scheme {scheme!r} is unknown", remedy=f"the schemes are {known}")


def _refuse_credentials(uri: str) -> None:
    split = urlsplit(uri)
    named = {name.lower() for name, _ in parse_qsl(split.query, keep_blank_values=True)}
    if "@" in split.netloc or named & SECRET_PARAMETERS:
        raise InvalidUri(
            uri=f"{split.scheme}://***",
            fault="carries credentials",
            remedy="put them into a Secret and name it in credentials.secretRef",
        )


def _file_path(uri: str, rest: str) -> Path:
    path = unquote(rest.removeprefix("//"))
    if not path.startswith("/") or "\0" in path:
        raise InvalidUri(uri=uri, fault="is not an absolute path of this machine", remedy="write file:///folder/file")
    return Path(path)


def _claim_path(uri: str, volumes: Path | None) -> Path:
    claim, _, inner = uri.removeprefix("pvc://").partition("/")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", claim) or not uri.startswith("pvc://"):
        raise InvalidUri(uri=uri, fault="names no claim", remedy="write pvc://CLAIM/PATH")
    if volumes is None:
        raise InvalidUri(uri=uri, fault="no volumes are mounted here", remedy="set FRUGAL_VOLUMES to their folder")
    root = (volumes / claim).resolve()
    path = (root / inner.lstrip("/")).resolve()
    if not path.is_relative_to(root):
        raise InvalidUri(uri=uri, fault="leads out of its claim", remedy="use a path without .. and without such links")
    return path


def _remote(uri: str, scheme: str) -> Location:
    split = urlsplit(uri)
    if not uri.startswith(f"{scheme}://") or not split.netloc:
        raise InvalidUri(uri=uri, fault="names no bucket or host", remedy=f"write {scheme}://place/path")
    if ".." in PurePosixPath(split.path).parts:
        raise InvalidUri(uri=uri, fault="has .. in its path", remedy="write the path that you mean")
    return Location(uri=uri, scheme=scheme)
