"""Certificates for servers on loopback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.certificates import make_authority, make_certificate


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """Give a folder with an authority, a server's certificate and a client's."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make certificates with")
    folder = tmp_path / "pki"
    make_authority(folder)
    make_certificate(folder, "server", subject="/CN=prometheus", hosts="IP:127.0.0.1")
    make_certificate(folder, "tls", subject="/CN=frugal")
    return folder
