"""Compiled code on disk: a folder of files that only this user can have written.

An entry is `<key>.o`: a header with a checksum, then the object.  Entries are written to a temporary name and
renamed, so a reader never sees half of one; an entry whose checksum fails is removed and compiled again.  The
folder must belong to the user and be closed to others, else it is not used: code from somebody else's hand must
never run.  A folder that is full or cannot be written costs one warning, and nothing else.

>>> import tempfile
>>> cache = DiskCache(Path(tempfile.mkdtemp()) / "graphc")
>>> cache.put("abc", b"code"); cache.get("abc"), cache.get("other")
(b'code', None)
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
import tempfile
import warnings
from pathlib import Path

from graphc.config import setting
from graphc.errors import GraphcWarning

_MAGIC = b"graphc-object-1\n"
_LIMIT_BYTES = 512 * 1024 * 1024


class DiskCache:
    """See the module; `get` and `put` never raise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._usable: bool | None = None

    def _ready(self) -> Path | None:
        """The folder, created and checked once; None where it cannot be used."""
        if self._usable is None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                about = self.folder.stat()
                if about.st_uid != os.geteuid():
                    self._give_up("it belongs to another user")
                elif about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    self._give_up("others can write to it")
                else:
                    self._usable = True
            except (OSError, RuntimeError) as error:
                self._give_up(str(error))
        return self.folder if self._usable else None

    def _give_up(self, why: str) -> None:
        if self._usable is not False:
            warnings.warn(
                f"compiled code is not kept: the cache folder {self.folder} is not usable ({why}); "
                "set GRAPHC_CACHE to a folder of your own",
                GraphcWarning,
                stacklevel=2,
            )
        self._usable = False

    def get(self, key: str) -> bytes | None:
        """The code under a key; None where there is none or it is damaged."""
        folder = self._ready()
        if folder is None:
            return None
        path = folder / f"{key}.o"
        try:
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(path, flags), "rb") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None
                content = file.read()
        except OSError:
            return None
        head = len(_MAGIC) + 32
        code = content[head:]
        expected = hashlib.sha256(key.encode() + b"\0" + code).digest()
        if not content.startswith(_MAGIC) or content[len(_MAGIC) : head] != expected:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the sweep removes what was not used for longest
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep code under a key, if the folder allows it."""
        folder = self._ready()
        if folder is None:
            return
        digest = hashlib.sha256(key.encode() + b"\0" + code).digest()
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + digest + code)
            Path(temporary).replace(folder / f"{key}.o")
            self._sweep(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            self._give_up(str(error))

    def _sweep(self, folder: Path) -> None:
        """Remove the entries that were not used for longest, once the folder is over its limit."""
        entries = []
        for e in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too
                if e.name.endswith(".o"):
                    entries.append((e.stat().st_mtime, e.stat().st_size, e.path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= _LIMIT_BYTES:
                return
            Path(path).unlink(missing_ok=True)
            total -= size


@functools.lru_cache(maxsize=4)
def _cache_in(folder: Path) -> DiskCache:
    return DiskCache(folder)


def default_cache() -> DiskCache | None:
    """The cache that GRAPHC_CACHE names, else the user's; None where it is switched off."""
    folder = setting("GRAPHC_CACHE")
    return None if folder is None else _cache_in(folder)
