"""Our three images for the node, made in seconds from the packages of the running interpreter's environment.

An image has exactly the packages that its extra in pyproject.toml asks for, so a missing one shows in the tests; the
Dockerfile, which makes the images that are shipped, is tested by tests/e2e.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cluster import images, places
from tests.cluster.errors import ClusterError
from tests.cluster.images import Image, Layer
from tests.cluster.interpreter import PYTHON, SITE_PACKAGES, base_image

ROOT = Path(__file__).parents[2]
MODULES = {"operator": "frugal", "jobs": "frugal_jobs", "serve": "frugal_serve"}  # extra -> what its image runs
_SOURCE_ROOTS = ("operator", "jobs")
_ENV = ("PYTHONPATH=/app/operator:/app/jobs", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp")


@dataclass(frozen=True, slots=True)
class _Group:
    """Packages that the same images need, and so one layer."""

    extras: frozenset[str]
    packages: Mapping[str, Distribution]

    @property
    def digest(self) -> str:
        """Name of the layer: another version of any package, or another Python, is another layer."""
        versions = sorted((name, package.version) for name, package in self.packages.items())
        return hashlib.sha256(json.dumps([PYTHON, versions]).encode()).hexdigest()[:16]


def image_name(extra: str) -> str:
    """Return the name of the image of `extra`: operator, jobs or serve."""
    return f"frugal.local/{extra}:test"


def app_image(extra: str) -> Image:
    """Return the image of `extra` with the sources as they are now.

    Layers of packages are kept in the cache and made again only when the environment changes.

    Raises:
        ClusterError: a package that the extra asks for is not installed here.
    """
    base = base_image()
    packages = [_package_layer(group) for group in _groups() if extra in group.extras]
    config: dict[str, object] = {
        **base.config,
        "Env": [*_list(base.config["Env"]), *_ENV],
        "User": f"{places.POD_UID}:{places.POD_UID}",
        "Entrypoint": ["python", "-m", MODULES[extra]],
        "Cmd": [],
        "WorkingDir": "/tmp",  # the one writable folder of a pod
    }
    layers = (*base.layers, *packages, _source_layer())
    return images.keep(Image(name=image_name(extra), layers=layers, config=config))


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _source_layer() -> Layer:
    files = {
        f"app/{root}/{path.relative_to(ROOT / root)}": path
        for root in _SOURCE_ROOTS
        for path in (ROOT / root).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return images.layer_of_files(files, places.images() / "sources.layer.tar")


def _package_layer(group: _Group) -> Layer:
    path = places.images() / f"packages-{group.digest}.layer.tar"
    if path.exists():
        return images.describe(path)
    files = {
        f"{SITE_PACKAGES}/{name}": source for package in group.packages.values() for name, source in _files(package)
    }
    return images.layer_of_files(files, path)


def _files(package: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the files that pip installed for `package`, compiled ones too; not its scripts, which name our folders."""
    for entry in package.files or ():
        source = Path(str(package.locate_file(entry)))
        if ".." not in entry.parts and source.is_file():
            yield entry.as_posix(), source


def _groups() -> list[_Group]:
    """Return every needed package, grouped by the set of images that need it."""
    needs = {extra: _closure(extra) for extra in MODULES}
    every = {name: package for packages in needs.values() for name, package in packages.items()}
    grouped: dict[frozenset[str], dict[str, Distribution]] = {}
    for name, package in sorted(every.items()):
        extras = frozenset(extra for extra in MODULES if name in needs[extra])
        grouped.setdefault(extras, {})[name] = package
    return [_Group(extras, packages) for extras, packages in grouped.items()]


def _closure(extra: str) -> dict[str, Distribution]:
    """Return the packages that `extra` needs, directly or through others, as they are installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"][extra])]
    seen: dict[tuple[str, frozenset[str]], Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key not in seen:
            seen[key] = _installed(wanted.name, extra)
            waiting.extend(_requirements(seen[key], wanted.extras))
    return {name: package for (name, _), package in seen.items()}


def _installed(name: str, extra: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise ClusterError(f"{name} is not installed, and the {extra} image needs it: run `make venv`") from error


def _requirements(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in package.requires or ():
        wanted = Requirement(text)
        marker = wanted.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            yield wanted
