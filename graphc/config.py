"""Every environment variable of graphc, in one table, read when it is asked for.

| variable         | values           | default          | what it does                                      |
|------------------|------------------|------------------|---------------------------------------------------|
| `GRAPHC_DEBUG`   | 0, 1, 2, 3       | 0                | prints compiling: 1 steps, 2 rewrites, 3 all text |
| `GRAPHC_VERIFY`  | 0, 1             | 1                | checks every kernel, before and after scheduling  |
| `GRAPHC_CACHE`   | a folder, or off | the user's cache | where compiled code is kept between processes     |
| `GRAPHC_THREADS` | 1, 2, ...        | all usable cores | how many threads a compiled function may use      |
| `GRAPHC_CPU`     | a CPU's name     | native           | the CPU to compile for, as LLVM calls it          |
| `GRAPHC_SILENCE` | names, or all    | none             | warnings that are not given, with commas between  |

`graphc doctor` prints the same table from `SETTINGS`, with the values of now; a test holds the two together.

>>> setting("GRAPHC_THREADS") is None or setting("GRAPHC_THREADS") >= 1
True
>>> [s.name for s in SETTINGS][:2]
['GRAPHC_DEBUG', 'GRAPHC_VERIFY']
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, overload

from graphc.errors import ArgumentError

Value: TypeAlias = int | bool | str | Path | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its name, what it may be, and how its text is read."""

    name: str
    values: str
    default: str
    doc: str
    read: Callable[[str], Value]  # of the text, which is empty where the variable is not set


def _debug(text: str) -> int:
    level = int(text or "0")
    if not 0 <= level <= 3:
        raise ValueError(text)
    return level


def _switch(text: str) -> bool:
    return {"": True, "1": True, "0": False}[text]


def _threads(text: str) -> int | None:
    if not text:
        return None
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _cache(text: str) -> Path | None:
    if text.lower() in ("off", "0"):
        return None
    if text:
        return Path(text).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says that a relative path in XDG_CACHE_HOME is to be ignored.
    return (Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()) / "graphc"


def _cpu(text: str) -> str:
    return text or "native"


def _names(text: str) -> str:
    return "" if text.lower() == "none" else text


SETTINGS: tuple[Setting, ...] = (
    Setting("GRAPHC_DEBUG", "0, 1, 2, 3", "0", "prints compiling: 1 steps, 2 rewrites, 3 all text", _debug),
    Setting("GRAPHC_VERIFY", "0, 1", "1", "checks every kernel, before and after scheduling", _switch),
    Setting(
        "GRAPHC_CACHE",
        "a folder, or off",
        "the user's cache",
        "where compiled code is kept between processes",
        _cache,
    ),
    Setting(
        "GRAPHC_THREADS",
        "1, 2, ...",
        "all usable cores",
        "how many threads a compiled function may use",
        _threads,
    ),
    Setting("GRAPHC_CPU", "a CPU's name", "native", "the CPU to compile for, as LLVM calls it", _cpu),
    Setting(
        "GRAPHC_SILENCE",
        "names, or all",
        "none",
        "warnings that are not given, with commas between",
        _names,
    ),
)

_BY_NAME = {s.name: s for s in SETTINGS}


@overload
def setting(name: Literal["GRAPHC_DEBUG"]) -> int: ...
@overload
def setting(name: Literal["GRAPHC_VERIFY"]) -> bool: ...
@overload
def setting(name: Literal["GRAPHC_CACHE"]) -> Path | None: ...
@overload
def setting(name: Literal["GRAPHC_THREADS"]) -> int | None: ...
@overload
def setting(name: Literal["GRAPHC_CPU", "GRAPHC_SILENCE"]) -> str: ...
@overload
def setting(name: str) -> Value: ...


def setting(name: str) -> Value:
    """The value of an environment variable of graphc; raises ArgumentError where its text makes no sense."""
    found = _BY_NAME[name]
    text = os.environ.get(name, "").strip()
    try:
        return found.read(text)
    except (ValueError, KeyError):
        raise ArgumentError(
            f"the environment variable {name} is {text!r}",
            why=found.doc,
            fix=f"set it to one of: {found.values}",
        ) from None
