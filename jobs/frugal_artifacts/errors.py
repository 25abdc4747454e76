"""The faults that stored and untrusted files can have, each with its facts as fields. None of compressing or serving.

FrugalError
└── ArtifactError
    ├── InvalidUri          a URI that can never work as written
    ├── ArtifactMissing     nothing lies there
    ├── ArtifactTooLarge    more bytes than allowed
    ├── DigestMismatch      other bytes than promised
    ├── StorageDenied       the store (or the file system) refused
    ├── StorageUnavailable  an outage: worth a retry
    └── UnsafeModel         a model file that must not be loaded

All but StorageUnavailable say that a retry of the same call cannot help.
"""

from __future__ import annotations

from frugal.errors import FrugalError


class ArtifactError(FrugalError):
    """A fault of a stored file or of its store."""


class InvalidUri(ArtifactError):
    """A URI that can never work as written; `uri` is shown without anything that may be a secret."""

    def __init__(self, *, uri: str, fault: str, remedy: str) -> None:
        self.uri, self.fault, self.remedy = uri, fault, remedy
        super().__init__(f"{uri}: {fault}; {remedy}")


class ArtifactMissing(ArtifactError):
    """Nothing lies at `uri`."""

    def __init__(self, *, uri: str) -> None:
        self.uri = uri
        super().__init__(f"{uri}: nothing is there; check the path, and that the volume or bucket is the one you mean")


class ArtifactTooLarge(ArtifactError):
    """The file at `uri` has more than `allowed_bytes` bytes."""

    def __init__(self, *, uri: str, found_bytes: int, allowed_bytes: int) -> None:
        self.uri, self.found_bytes, self.allowed_bytes = uri, found_bytes, allowed_bytes
        super().__init__(f"{uri}: at least {found_bytes} bytes, and at most {allowed_bytes} are allowed")


class DigestMismatch(ArtifactError):
    """The bytes at `place` are not those that the digest promised."""

    def __init__(self, *, place: str, expected: str, found: str) -> None:
        self.place, self.expected, self.found = place, expected, found
        super().__init__(
            f"{place}: sha256 is {found}, expected {expected}; the file was changed or damaged, "
            "or the digest belongs to another one"
        )


class StorageDenied(ArtifactError):
    """The store knows us not, or does not let us do this."""

    def __init__(self, *, uri: str, reason: str) -> None:
        self.uri, self.reason = uri, reason
        super().__init__(f"{uri}: the store refused ({reason}); check credentials.secretRef or serviceAccountName")


class StorageUnavailable(ArtifactError):
    """The store could not be reached or failed: the same call may work later."""

    def __init__(self, *, uri: str, reason: str) -> None:
        self.uri, self.reason = uri, reason
        super().__init__(f"{uri}: the store failed ({reason})")


class UnsafeModel(ArtifactError):
    """A model file that must not be loaded; `fault` says what stands in it."""

    def __init__(self, *, place: str, fault: str, remedy: str) -> None:
        self.place, self.fault, self.remedy = place, fault, remedy
        super().__init__(f"{place}: {fault}; {remedy}")
