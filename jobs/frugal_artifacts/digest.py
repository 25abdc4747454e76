"""SHA-256 of files and bytes, and its comparison with a promise. Where the bytes come from is storage's part."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from frugal_artifacts.errors import DigestMismatch


def sha256_of(path: Path) -> str:
    """Return the lower-case hex SHA-256 of the file at `path`, read in constant memory; raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify_sha256(path: Path, expected: str) -> None:
    """Return when the file at `path` has the digest `expected` (hex, either case); raises DigestMismatch, OSError."""
    compare_sha256(sha256_of(path), expected, place=str(path))


def compare_sha256(found: str, expected: str, *, place: str) -> None:
    """Return when both digests (hex, either case) are one; raises DigestMismatch, which names `place`."""
    if not hmac.compare_digest(found.lower(), expected.lower()):
        raise DigestMismatch(place=place, expected=expected.lower(), found=found)
