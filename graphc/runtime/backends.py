"""Back ends, found by name through the entry-point group `graphc.backends`.

>>> sorted(available())
['cuda', 'llvm']
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from graphc.errors import BackendError
from graphc.kernel.program import Backend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def entry_points(group: str) -> Iterable[EntryPoint]:
    """What is installed in a group; `importlib.metadata` takes longer to import than most of graphc."""
    from importlib.metadata import entry_points as installed

    return installed(group=group)


def available() -> tuple[str, ...]:
    """The names of the back ends that are installed, sorted."""
    return tuple(sorted({e.name for e in entry_points(group="graphc.backends")}))


@functools.cache
def load(name: str) -> Backend:
    """The back end of a name; raises BackendError where it is not installed or does not load."""
    for entry in entry_points(group="graphc.backends"):
        if entry.name == name:
            try:
                return cast(Backend, entry.load())
            except ImportError as error:
                raise BackendError(
                    f"the back end {name!r} does not load", why=str(error), fix="pip install graphc"
                ) from error
    known = ", ".join((*available(), "reference", "interpreter"))
    raise BackendError(
        f"no back end is called {name!r}", why=f"these are installed: {known}", fix="pip install graphc"
    )
