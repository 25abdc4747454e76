"""The base image of the tests: the interpreter that runs this, its libraries, and a small userland.

It stands in for `python:3.11-slim` where no registry can be reached; what is put on top of it is in `app_images`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.cluster import images, places
from tests.cluster.images import Image

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = f"usr/local/lib/{PYTHON}/site-packages"
_SKIPPED = frozenset({"test", "tests", "idlelib", "tkinter", "turtledemo", "site-packages", "lib2to3", "ensurepip"})
_TOOLS = "sh bash ls cat cp mv rm mkdir sleep echo env id date ps kill grep sed head tail tar touch true false test"
# What compiled wheels may ask of any Debian (PEP 600, manylinux policies), beside what the interpreter itself needs.
_EXPECTED_BY_WHEELS = (
    "libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1",
)  # fmt: skip
_ACCOUNTS = (("root", 0), ("nonroot", places.POD_UID), ("nobody", 65534))
_ENV = ("PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib", "LANG=C.UTF-8")


def base_image(name: str = places.PYTHON_IMAGE, *, with_pip: bool = False) -> Image:
    """Return the base image, made once (2 s, 110 MB); `with_pip` for builds that install packages in it."""
    path = places.images() / f"{images.slug(name)}-{_key()}.layer.tar"
    kept = images.find(name)
    if kept is not None and kept.layers[0].path == str(path):
        return kept
    files = _interpreter(with_pip=with_pip) | _userland()
    files |= _libraries(files.values())
    places.images().mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        _add_skeleton(tar)
        _add_files(tar, files)
    config: dict[str, object] = {"Env": list(_ENV), "Cmd": ["python3"], "WorkingDir": "/"}
    return images.keep(Image(name=name, layers=(images.describe(path),), config=config))


def _key() -> str:
    """Name what the image is made of and by: another interpreter or another recipe is another layer."""
    return hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:12]


def _interpreter(*, with_pip: bool) -> dict[str, Path]:
    """Return the standard library and the program, as path in the image -> path here."""
    library = Path(sysconfig.get_path("stdlib"))
    files = _tree(library, f"usr/local/lib/{PYTHON}", skipped=_SKIPPED)
    for shared in Path(sys.base_prefix).glob("lib/libpython*.so*"):
        files[f"usr/local/lib/{shared.name}"] = shared
    if with_pip:
        for package in (library / "site-packages").glob("pip*"):
            files |= _tree(package, f"{SITE_PACKAGES}/{package.name}", skipped=())
    program = Path(sys.base_prefix) / "bin" / PYTHON
    return files | {f"usr/local/bin/{name}": program for name in ("python", "python3", PYTHON)}


def _tree(source: Path, destination: str, *, skipped: Collection[str]) -> dict[str, Path]:
    files = {}
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name not in skipped and not name.startswith("config-")]
        for name in names:
            path = Path(folder, name)
            files[f"{destination}/{path.relative_to(source)}"] = path
    return files


def _userland() -> dict[str, Path]:
    found = {f"usr/bin/{tool}": shutil.which(tool, path="/usr/bin:/bin") for tool in _TOOLS.split()}
    files = {path: Path(program) for path, program in found.items() if program}
    for extra in (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/nsswitch.conf")):
        if extra.exists():
            files[str(extra).lstrip("/")] = extra
    return files


def _libraries(files: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries, the loader among them, that the ELF files among `files` need."""
    programs = sorted({str(path.resolve()) for path in files if _is_elf(path)})
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    needed = {Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", listed)}
    system = Path("/usr/lib/x86_64-linux-gnu")
    names = system.glob("libnss_*.so.2")  # loaded by name, so ldd does not list them
    expected = [system / name for name in _EXPECTED_BY_WHEELS]
    return {_place(path): path for path in (*needed, *names, *expected)}


def _place(library: Path) -> str:
    if library.is_relative_to(sys.base_prefix) and sys.base_prefix != "/usr":
        return f"usr/local/lib/{library.name}"
    return re.sub(r"^/(lib\w*)/", r"usr/\1/", str(library)).lstrip("/")


def _is_elf(path: Path) -> bool:
    with path.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def _add_skeleton(tar: tarfile.TarFile) -> None:
    """Add the folders, the links of a merged /usr, and the accounts."""
    for folder in ("usr", "usr/bin", "usr/lib", "usr/lib64", "etc", "root", "home", "proc", "sys", "dev", "run", "var"):
        images.add_entry(tar, folder, kind=tarfile.DIRTYPE)
    for folder in ("tmp", "var/tmp"):
        images.add_entry(tar, folder, kind=tarfile.DIRTYPE, mode=0o1777)
    for link in ("bin", "lib", "lib64"):
        images.add_entry(tar, link, kind=tarfile.SYMTYPE, link=f"usr/{link}")
    users = "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in _ACCOUNTS)
    groups = "".join(f"{name}:x:{uid}:\n" for name, uid in _ACCOUNTS)
    images.add_entry(tar, "etc/passwd", mode=0o644, text=users)
    images.add_entry(tar, "etc/group", mode=0o644, text=groups)


def _add_files(tar: tarfile.TarFile, files: dict[str, Path]) -> None:
    """Add `files`, the second and later names of one file as hard links."""
    first_name: dict[Path, str] = {}
    for path, source in sorted(files.items()):
        real = source.resolve()
        if real in first_name:
            images.add_entry(tar, path, kind=tarfile.LNKTYPE, link=first_name[real])
        else:
            first_name[real] = path
            images.add_file(tar, path, real)
