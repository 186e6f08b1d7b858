"""Things that take long to make, on disk: an entry is a file, named by the hash of what it was made from.

Entries are written under another name and renamed, carry a checksum, and are never changed afterwards: any
number of processes can share the folder. Trouble with the folder (no permission, no room) means that there
is no cache, never an error. ``PYCUDA_GUARD_CACHE_DIR`` names another folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: bytes that the folder may hold; beyond it the entries go that were used longest ago
LIMIT = 512 << 20

_MAGIC = b"pycuda-guard kernels 1\n"
_DIGEST_BYTES = 32
_SUFFIX = ".kernels"
_NEW = "new-"
#: age at which an unfinished file has surely been abandoned
_STALE_NS = 3600 * 10**9
#: writes of this process between two looks at the folder's size
_WRITES_BETWEEN_TRIMS = 64


def directory() -> Path:
    """Return the folder of the entries; it need not exist."""
    chosen = os.environ.get("PYCUDA_GUARD_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # XDG: a relative path is to be ignored
    home = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~")) / ".cache"
    return home / "pycuda-guard" / "kernels"


def fingerprint(sources: Iterable[str]) -> str:
    """Return a hash of source files and folders of the package, given by their paths in it."""
    digest = hashlib.blake2b(digest_size=16)
    package = Path(__file__).parent
    for source in sources:
        place = package / source
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(package)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


class Cache:
    """Entries of JSON-able data and bytes under keys, in one folder."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._writes = 0

    def key(self, *parts: str | bytes) -> str:
        """Return the key of an entry made from these parts."""
        digest = hashlib.blake2b(digest_size=24)
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
        return digest.hexdigest()

    def get(self, key: str) -> tuple[Any, bytes] | None:
        """Return an entry's data and bytes; None if there is none, or a damaged one (which is removed)."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        entry = _unpack(content)
        with contextlib.suppress(OSError):
            if entry is None:
                path.unlink()
            else:
                os.utime(path)
        return entry

    def put(self, key: str, data: Any, image: bytes) -> bool:
        """Store an entry; whether that worked. ``data`` must be fit for JSON."""
        path = self._path(key)
        temporary = ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(prefix=_NEW, dir=self.folder)
            with open(handle, "wb") as file:
                file.write(_pack(data, image))
            os.replace(temporary, path)
        except OSError:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            return False
        if self._writes % _WRITES_BETWEEN_TRIMS == 0:
            self._trim()
        self._writes += 1
        return True

    def _path(self, key: str) -> Path:
        return self.folder / (key + _SUFFIX)

    def _trim(self) -> None:
        """Remove entries, least recently used first, until the folder is within its limit.

        What writers that were killed have left behind goes too.
        """
        entries = []
        stale = time.time_ns() - _STALE_NS
        with contextlib.suppress(OSError), os.scandir(self.folder) as found:
            for item in found:
                with contextlib.suppress(OSError):
                    status = item.stat()
                    if item.name.endswith(_SUFFIX):
                        entries.append((status.st_mtime_ns, status.st_size, item.path))
                    elif item.name.startswith(_NEW) and status.st_mtime_ns < stale:
                        os.unlink(item.path)
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size


def _pack(data: Any, image: bytes) -> bytes:
    text = json.dumps(data).encode()
    body = len(text).to_bytes(8, "little") + text + image
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() + body


def _unpack(content: bytes) -> tuple[Any, bytes] | None:
    start = len(_MAGIC) + _DIGEST_BYTES
    body = content[start:]
    if not content.startswith(_MAGIC) or len(body) < 8:
        return None
    if hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != content[len(_MAGIC) : start]:
        return None
    end = 8 + int.from_bytes(body[:8], "little")
    return json.loads(body[8:end]), body[end:]
