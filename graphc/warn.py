"""Warnings that have a name, and are silenced by it.

| name                       | what it says                                                                     |
|----------------------------|----------------------------------------------------------------------------------|
| `dead-gradient`            | a gradient that is zero everywhere                                               |
| `int-cast-cuts-gradient`   | a cast to integers on the way from a parameter to the loss                       |
| `constant-loss`            | a loss that nothing can change                                                   |
| `nan-gradient`             | a gradient that can be NaN or infinite                                           |
| `nan-loss`                 | a loss that can be NaN or infinite, though its gradient cannot                   |
| `rescued`                  | a formula that would overflow or give NaN as written, and is computed otherwise  |
| `broadcast-loss`           | an [N,1] against an [N] in a loss, which makes [N,N]                             |
| `softmax-twice`            | a softmax of a softmax                                                           |
| `output-loss-mismatch`     | an output activation that does not fit the loss                                  |
| `saturating-chain`         | slopes that multiply to almost nothing                                           |
| `linear-collapse`          | two linear layers without a nonlinearity between them                            |
| `first-loss`               | a loss far above log C before any training                                       |
| `kink-at-point`            | a point at which a function has no derivative                                    |
| `unused-input`             | an input that the loss does not need                                             |

Silenced by `with gc.silence(name):`, by `gc.lint(..., silence=[name])`, by the environment variable
GRAPHC_SILENCE (names with commas between them, or `all`), and, for what is warned of while a model is built, by
Python's own filters: the text of each warning begins with its name.

>>> import warnings
>>> with warnings.catch_warnings(record=True) as caught:
...     warnings.simplefilter("always")
...     warn("dead-gradient", "the gradient is zero")
...     with silence("dead-gradient"):
...         warn("dead-gradient", "the gradient is zero")
>>> [str(w.message) for w in caught]
['dead-gradient: the gradient is zero']
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches

from graphc.config import setting
from graphc.errors import ArgumentError, GraphcError, GraphcWarning, Loc

NAMES = (
    "dead-gradient",
    "int-cast-cuts-gradient",
    "constant-loss",
    "nan-gradient",
    "nan-loss",
    "rescued",
    "broadcast-loss",
    "softmax-twice",
    "output-loss-mismatch",
    "saturating-chain",
    "linear-collapse",
    "first-loss",
    "kink-at-point",
    "unused-input",
)
"""Every name, in the order in which findings are listed."""

_quiet: ContextVar[frozenset[str]] = ContextVar("quiet", default=frozenset())


@contextmanager
def silence(*names: str) -> Iterator[None]:
    """Inside, findings and warnings of these names are not reported.  Raises ArgumentError for an unknown name."""
    token = _quiet.set(_quiet.get() | known(names))
    try:
        yield
    finally:
        _quiet.reset(token)


def known(names: Iterable[str]) -> frozenset[str]:
    """The names, checked; raises ArgumentError for one that no finding has."""
    if isinstance(names, str):
        names = (names,)
    found = frozenset(names)
    for name in sorted(found - {*NAMES}):
        near = get_close_matches(str(name), NAMES, 1)
        raise ArgumentError(
            f"no warning of graphc is called {name!r}",
            fix=f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(NAMES)}",
        )
    return found


def silenced() -> frozenset[str]:
    """The names that are silent here and now."""
    text = setting("GRAPHC_SILENCE")
    if text == "all":
        return frozenset(NAMES)
    return _quiet.get() | known(name.strip() for name in text.split(",") if name.strip())


def warn(name: str, what: str, *, where: Loc | None = None, why: str = "", fix: str = "") -> None:
    """Warn, in the form of an error, at the user's line; nothing where the name is silenced."""
    if name in silenced():
        return
    message = GraphcWarning(f"{name}: {GraphcError(what, where=where, why=why, fix=fix)}")
    file, line = (where.file, where.line) if where is not None else ("<graphc>", 1)
    warnings.warn_explicit(message, GraphcWarning, file, line)
