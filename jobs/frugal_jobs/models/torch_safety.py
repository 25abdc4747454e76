"""Whether a PyTorch file of anybody may be given to torch: read as data, never loaded.

torch itself falls back to unpickling, and evaluates the symbolic sizes and guards of exported programs as Python
(torch/_export/serde/serialize.py); so both are checked here first, against what an honest file needs.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator

from frugal.errors import FrugalError

MAX_UNPACKED_BYTES = 8 * 2**30
ZIP_MAGIC, PICKLE_MAGIC = b"PK\x03\x04", b"\x80"
MAX_NESTING = 3  # a .pt2 holds .pt files, which hold pickles
HARMLESS = re.compile(
    r"torch\.(_utils\._rebuild_\w+|\w*Storage|storage\.\w*Storage|Size|device|serialization\._get_layout|(b?float|u?int|q?u?int|"
    r"complex)\d+|bool|_tensor\._rebuild_from_type_v2|nn\.parameter\.Parameter|Tensor)|collections\.OrderedDict"
)
EXPRESSION = re.compile(r"[\w\s+\-*/%(),=<>!&|']*")
WORDS = re.compile(r"[A-Za-z_]\w*")
KNOWN_WORDS = re.compile(
    r"[a-z]{1,4}\d+|Symbol|Integer|positive|integer|nonnegative|True|False|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|"
    r"CeilDiv|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|oo|int_oo|ceiling|floor|ModularIndexing|TruncToInt|ToFloat|IntTrueDiv"
)
STATE_DICT_ALONE = (
    "store a state dict (torch.save(model.state_dict(), ...)), safetensors, or a .pt2 of a current PyTorch"
)


class UnsafeFile(FrugalError):
    """A file that must not be loaded; `fault` says what stands in it."""

    def __init__(self, *, fault: str, remedy: str = STATE_DICT_ALONE) -> None:
        self.fault, self.remedy = fault, remedy
        super().__init__(f"{fault}; {remedy}")


def check(content: bytes, *, max_bytes: int = MAX_UNPACKED_BYTES, depth: int = 0) -> None:
    """Return when `content`, a pickle or an archive of them, names only what tensors need; raises UnsafeFile."""
    if content[:4] == ZIP_MAGIC:
        _check_archive(content, max_bytes, depth)
    elif content[:1] == PICKLE_MAGIC:
        _check_pickle(content)


def _check_archive(content: bytes, max_bytes: int, depth: int) -> None:
    if depth >= MAX_NESTING:
        raise UnsafeFile(fault=f"holds archives in archives, more than {MAX_NESTING} deep")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
            if unpacked_bytes > max_bytes:
                raise UnsafeFile(fault=f"unpacks to {unpacked_bytes} bytes, and at most {max_bytes} are allowed")
            for member in archive.infolist():
                inner = archive.read(member)
                if inner[:4] == ZIP_MAGIC:
                    check(inner, max_bytes=max_bytes, depth=depth + 1)
                elif member.filename.endswith(".pkl"):  # raw weights beside it may begin like a pickle
                    _check_pickle(inner)
                elif member.filename.endswith(".json"):
                    _check_program(inner)
    except zipfile.BadZipFile as error:
        raise UnsafeFile(fault=f"is a damaged archive ({error})", remedy="save or fetch it again") from error


def _check_pickle(content: bytes) -> None:
    foreign = sorted(name for name in _names(content) if not HARMLESS.fullmatch(name))
    if foreign:
        raise UnsafeFile(fault=f"is a pickle that would run code when loaded: it names {', '.join(foreign[:5])}")


def _names(content: bytes) -> set[str]:
    """Return every global that a pickle names, found without running it.

    STACK_GLOBAL takes its name from the stack; an honest pickle has just put it there, or in the memo, so any string
    seen before may be meant: each pair that could name something is judged by the last two that were pushed.
    """
    names: set[str] = set()
    strings: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name in ("GLOBAL", "INST"):
                names.add(str(argument).replace(" ", "."))
            elif operation.name == "STACK_GLOBAL":
                names.add(".".join(strings[-2:]) if len(strings) > 1 else "?")
            elif operation.name in ("EXT1", "EXT2", "EXT4"):
                names.add(f"extension {argument}")
            elif operation.name in ("GET", "BINGET", "LONG_BINGET"):
                strings.append("?")  # from the memo: what it is takes running it
            elif isinstance(argument, str):
                strings.append(argument)
    except ValueError:
        names.add("(damaged)")
    return names


def _check_program(content: bytes) -> None:
    """Object to sizes and guards of an exported program that are more than arithmetic."""
    try:
        program = json.loads(content)
    except ValueError as error:
        raise UnsafeFile(fault=f"holds damaged JSON ({error})", remedy="export it again") from error
    for text in _expressions(program):
        words = WORDS.findall(text)
        if not EXPRESSION.fullmatch(text) or not all(KNOWN_WORDS.fullmatch(word) for word in words):
            raise UnsafeFile(fault=f"has a size that is code, not arithmetic: {text[:80]!r}")


def _expressions(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "expr_str" and isinstance(value, str):
                yield value
            elif name == "guards_code" and value:
                yield from (str(guard) for guard in value)
            else:
                yield from _expressions(value)
    elif isinstance(part, list):
        for value in part:
            yield from _expressions(value)
