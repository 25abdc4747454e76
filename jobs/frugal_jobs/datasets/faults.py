"""What a reader of a data file says against it; loading.py adds the field and the URI."""

from __future__ import annotations

from frugal.errors import FrugalError


class UnreadableFile(FrugalError):
    """A data file that cannot be read, or must not be."""

    def __init__(self, *, fault: str, remedy: str) -> None:
        self.fault, self.remedy = fault, remedy
        super().__init__(f"{fault}; {remedy}")
