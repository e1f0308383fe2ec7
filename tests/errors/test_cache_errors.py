"""The cache of compiled code: what is wrong with its folder or its entries costs at most one warning."""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.cache import DiskCache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that does not exist yet, named by GRAPHC_CACHE."""
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def works(factor: float) -> None:
    """Compile a program that only this factor tells from others, and run it."""
    x = gc.input("x", ("N",))
    fn = gc.compile([x], factor * x + 1.0)
    np.testing.assert_array_equal(fn(np.arange(3.0)), factor * np.arange(3.0) + 1.0)


@contextmanager
def one_warning(*parts: str) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    texts = [str(w.message) for w in caught if issubclass(w.category, gc.errors.GraphcWarning)]
    assert len(texts) == 1, texts
    assert all(part in texts[0] for part in ("compiled code is not kept", "set GRAPHC_CACHE", *parts)), texts


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.o"))


def test_an_unusable_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "file" / "below"))
    with one_warning(str(tmp_path / "file" / "below"), "Not a directory"):
        works(2.0)
        works(3.0)


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user can write everywhere")
    with one_warning("Permission denied"):
        works(2.0)
        works(3.0)


def test_a_folder_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with one_warning("it belongs to another user"):
        works(2.0)
        works(3.0)
    assert not entries(folder)


def test_a_folder_that_others_can_write_to(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with one_warning("others can write to it"):
        works(2.0)
        works(3.0)
    assert not entries(folder)


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **named: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with one_warning(os.strerror(errno.ENOSPC)):
        works(2.0)
        works(3.0)
    assert not entries(folder)


def test_a_disk_that_fills_while_an_entry_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with one_warning(os.strerror(errno.ENOSPC)):
        works(2.0)
    assert not list(folder.iterdir()), "what was half written is removed"


def damage_first_byte(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def damage_last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "first byte": damage_first_byte,
    "last byte": damage_last_byte,
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "something else": lambda content: b"#!/bin/sh\necho no\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_built_again(kind: str, folder: Path) -> None:
    works(5.0)
    sound = {entry: entry.read_bytes() for entry in entries(folder)}
    assert len(sound) == 2, "the function, and its object"
    for entry, content in sound.items():
        entry.write_bytes(DAMAGE[kind](content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        works(5.0)
    assert {entry: entry.read_bytes() for entry in entries(folder)} == sound


def test_the_entry_of_another_program_is_not_run(folder: Path) -> None:
    works(6.0)
    first = entries(folder)
    works(7.0)
    second = set(entries(folder)) - set(first)
    pairs = list(zip(sorted(first, key=kind), sorted(second, key=kind), strict=True))
    for one, other in pairs:
        other.write_bytes(one.read_bytes())  # sound in itself, but under the wrong name
    works(7.0)
    assert pairs and all(one.read_bytes() != other.read_bytes() for one, other in pairs)


def kind(entry: Path) -> int:
    """Functions and objects have names of different lengths."""
    return len(entry.stem)


def test_a_link_in_place_of_an_entry_is_not_followed(folder: Path, tmp_path: Path) -> None:
    works(8.0)
    for entry in entries(folder):
        elsewhere = tmp_path / entry.name
        elsewhere.write_bytes(entry.read_bytes())
        entry.unlink()
        entry.symlink_to(elsewhere)
        assert DiskCache(folder).get(entry.stem) is None
    works(8.0)
    assert not any(entry.is_symlink() for entry in entries(folder))


def test_entries_are_for_the_user_alone(folder: Path) -> None:
    works(9.0)
    assert folder.stat().st_mode & 0o077 == 0
    assert all(e.stat().st_mode & 0o077 == 0 for e in entries(folder))


def test_no_cache_leaves_no_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = gc.input("x", ("N",))
    gc.compile([x], 10.0 * x, cache=False)
    monkeypatch.setenv("GRAPHC_CACHE", "off")
    works(10.0)
    assert not folder.exists()
