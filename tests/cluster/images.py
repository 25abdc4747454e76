"""Container images as layers and one JSON description, and their OCI archives; no daemon and no registry.

What goes into our own images is said in `interpreter` and `app_images`; giving them to a node is in `runtime`.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from tests.cluster import places

_COPY_BYTES = 1 << 20
_MEDIA = "application/vnd.oci.image."


@dataclass(frozen=True, slots=True)
class Layer:
    """One uncompressed layer tar on disk."""

    path: str
    digest: str  # `sha256:` and 64 hex digits, of the tar
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image by its layers, lowest first, and its OCI config (Env, Entrypoint, User, ...)."""

    name: str
    layers: tuple[Layer, ...]
    config: dict[str, object] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Size of all layers, uncompressed."""
        return sum(layer.size_bytes for layer in self.layers)


def slug(name: str) -> str:
    """Return an image's name as a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", name)


def full_name(name: str) -> str:
    """Return the name under which the kubelet asks for an image: with registry and tag, as docker completes it."""
    first = name.split("/")[0]
    if "/" not in name:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def keep(image: Image) -> Image:
    """Write the description of `image` beside the layers, so that `find` finds it, and return it."""
    places.images().mkdir(parents=True, exist_ok=True)
    (places.images() / f"{slug(image.name)}.json").write_text(json.dumps(asdict(image), indent=1))
    return image


def find(name: str) -> Image | None:
    """Return the image kept under `name`; None where it was never made or a layer of it is gone."""
    try:
        saved = json.loads((places.images() / f"{slug(name)}.json").read_text())
    except FileNotFoundError:
        return None
    layers = tuple(Layer(**layer) for layer in saved["layers"])
    if any(not Path(layer.path).exists() for layer in layers):
        return None
    return Image(name=saved["name"], layers=layers, config=saved["config"])


def layer_of_files(files: Mapping[str, Path], destination: Path, *, folders: Mapping[str, int] | None = None) -> Layer:
    """Write a layer of regular files (path in the image -> file here), owned by root; `folders` maps paths to modes."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    half = destination.with_suffix(".half")
    with tarfile.open(half, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode in (folders or {}).items():
            add_entry(tar, path, kind=tarfile.DIRTYPE, mode=mode)
        for path, source in sorted(files.items()):
            add_file(tar, path, source)
    half.rename(destination)
    return describe(destination)


def layer_of_folder(folder: Path, destination: Path, *, prefix: str = "") -> Layer:
    """Write a layer of everything in `folder`, at `prefix` in the image, without Python's compiled files."""
    files = {
        f"{prefix.strip('/')}/{path.relative_to(folder)}".lstrip("/"): path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return layer_of_files(files, destination)


def add_file(tar: tarfile.TarFile, path: str, source: Path) -> None:
    """Add one regular file with its modification time, owned by root, links followed."""
    real = source.resolve()
    info = tarfile.TarInfo(path)
    stat = real.stat()
    info.size, info.mtime, info.mode = stat.st_size, int(stat.st_mtime), stat.st_mode & 0o755 | 0o444
    with real.open("rb") as content:
        tar.addfile(info, content)


def add_entry(
    tar: tarfile.TarFile, path: str, *, kind: bytes = tarfile.REGTYPE, mode: int = 0o755, link: str = "", text: str = ""
) -> None:
    """Add a folder, a link, or a small file of `text`, owned by root."""
    content = text.encode()
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.linkname, info.size = kind, mode, link, len(content)
    tar.addfile(info, io.BytesIO(content))


def describe(path: Path) -> Layer:
    """Return the layer that is the tar at `path`."""
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Layer(str(path), f"sha256:{digest}", path.stat().st_size)


def write_archive(image: Image, stream: IO[bytes], *, without: Collection[str] = frozenset()) -> None:
    """Write an OCI image archive; layers whose digest is in `without` are named in it but not copied into it."""
    config = _json(_config(image))
    manifest = _json(_manifest(image, config))
    with tarfile.open(fileobj=stream, mode="w|", bufsize=_COPY_BYTES) as tar:
        add_entry(tar, "oci-layout", text='{"imageLayoutVersion":"1.0.0"}')
        add_entry(tar, "index.json", text=_json(_index(image, manifest)))
        for text in (config, manifest):
            add_entry(tar, _blob(_digest(text)), text=text)
        for layer in {layer.digest: layer for layer in image.layers}.values():
            if layer.digest not in without:
                add_file(tar, _blob(layer.digest), Path(layer.path))


def _config(image: Image) -> object:
    history = {"created": "1970-01-01T00:00:00Z", "created_by": "tests.cluster"}
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in image.layers]},
        "history": [history] * len(image.layers),
    }


def _manifest(image: Image, config: str) -> object:
    layers = [
        {"mediaType": f"{_MEDIA}layer.v1.tar", "digest": layer.digest, "size": layer.size_bytes}
        for layer in image.layers
    ]
    described = {"mediaType": f"{_MEDIA}config.v1+json", "digest": _digest(config), "size": len(config.encode())}
    return {"schemaVersion": 2, "mediaType": f"{_MEDIA}manifest.v1+json", "config": described, "layers": layers}


def _index(image: Image, manifest: str) -> object:
    name = full_name(image.name)
    described = {
        "mediaType": f"{_MEDIA}manifest.v1+json",
        "digest": _digest(manifest),
        "size": len(manifest.encode()),
        "platform": {"architecture": "amd64", "os": "linux"},
        "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1]},
    }
    return {"schemaVersion": 2, "manifests": [described]}


def _json(document: object) -> str:
    return json.dumps(document)


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
