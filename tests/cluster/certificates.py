"""The certificate authority of one instance, and the kubeconfig files that its clients use.

Made with openssl and thrown away with the run folder; no secret here outlives the node.
"""

import base64
import json
import secrets
from pathlib import Path

from tests.cluster import places
from tests.cluster.instance import Instance
from tests.cluster.shell import run

_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_VALID_DAYS = ("-days", "30")  # far longer than any node lives


def make_authority(pki: Path) -> None:
    """Make the authority and the key that signs service account tokens."""
    pki.mkdir(parents=True, exist_ok=True)
    subject = ("-subj", "/CN=frugal-node-ca")
    run("openssl", "req", "-x509", *_EC_KEY, *_VALID_DAYS, *subject, "-keyout", pki / "ca.key", "-out", pki / "ca.crt")
    run("openssl", "genrsa", "-out", pki / "sa.key", "2048")
    run("openssl", "rsa", "-in", pki / "sa.key", "-pubout", "-out", pki / "sa.pub")


def make_certificate(pki: Path, name: str, *, subject: str, hosts: str = "") -> None:
    """Make `name`.key and `name`.crt, good for clients and servers; `hosts` as openssl's subjectAltName."""
    key, request, certificate, extensions = (pki / f"{name}.{end}" for end in ("key", "csr", "crt", "ext"))
    run("openssl", "req", *_EC_KEY, "-subj", subject, "-keyout", key, "-out", request)
    names = f"subjectAltName={hosts}\n" if hosts else ""
    extensions.write_text(f"extendedKeyUsage=serverAuth,clientAuth\n{names}")
    signer = ("-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-set_serial", str(secrets.randbits(63)))
    run("openssl", "x509", "-req", "-in", request, *signer, *_VALID_DAYS, "-extfile", extensions, "-out", certificate)


def make_all(instance: Instance, *, host: str, is_full: bool) -> None:
    """Make every certificate that the components of this instance show or check."""
    pki = instance.pki
    make_authority(pki)
    addresses = f"IP:127.0.0.1,IP:{host},IP:{places.SERVICE_API}"
    names = ",".join(f"DNS:kubernetes{end}" for end in ("", ".default", ".default.svc"))
    make_certificate(pki, "apiserver", subject="/CN=kube-apiserver", hosts=f"{addresses},DNS:localhost,{names}")
    make_certificate(pki, "admin", subject="/O=system:masters/CN=admin")
    make_certificate(pki, "apiserver-kubelet", subject="/O=system:masters/CN=apiserver-kubelet")
    make_certificate(pki, "front-proxy", subject="/CN=front-proxy")
    loopback = "DNS:localhost,IP:127.0.0.1"
    make_certificate(pki, "controller-manager", subject="/CN=system:kube-controller-manager", hosts=loopback)
    if is_full:
        make_certificate(pki, "scheduler", subject="/CN=system:kube-scheduler", hosts=loopback)
        node = f"/O=system:nodes/CN=system:node:{places.NODE_NAME}"
        make_certificate(pki, "kubelet", subject=node, hosts=f"DNS:{places.NODE_NAME},IP:{places.GATEWAY},{loopback}")
        make_certificate(pki, "proxy", subject="/CN=system:kube-proxy")


def write_kubeconfig(instance: Instance, who: str, server: str) -> Path:
    """Write the kubeconfig of `who`, readable by this user alone, and return its path."""
    path = instance.run / f"{who}.kubeconfig"
    path.touch(mode=0o600)
    user = {
        "client-certificate-data": _base64(instance.pki / f"{who}.crt"),
        "client-key-data": _base64(instance.pki / f"{who}.key"),
    }
    authority = _base64(instance.pki / "ca.crt")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "frugal-node",
        "clusters": [{"name": "frugal-node", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": who, "user": user}],
        "contexts": [{"name": "frugal-node", "context": {"cluster": "frugal-node", "user": who}}],
    }
    path.write_text(json.dumps(config, indent=1))
    return path


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
