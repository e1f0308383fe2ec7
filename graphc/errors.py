"""Errors, all of one shape: what is wrong, where in the user's file, why, and how to mend it.

```
ShapeError: cannot multiply f32[N,4] by f32[3]
  model.py:12   y = h * scale
                    ^^^^^^^^^
  why: the last dimensions are 4 and 3, and neither is 1
  fix: give `scale` the shape [4]
```

Every error a user can cause is a subclass of `GraphcError`.  `InternalError` is the exception to that: it
means that graphc itself is wrong, and says so.

>>> raise GraphcError("the loss is not a scalar", fix="reduce it with gc.sum or gc.mean")
Traceback (most recent call last):
...
graphc.errors.GraphcError: the loss is not a scalar
  fix: reduce it with gc.sum or gc.mean
"""

from __future__ import annotations

import linecache
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """A range of columns in a user's source file (lines and columns count from 1 and 0, as in CPython)."""

    file: str
    line: int
    column: int = 0
    end_column: int = 0
    end_line: int = 0

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    @property
    def source(self) -> str:
        """The source line, without its newline; empty when the file cannot be read."""
        return linecache.getline(self.file, self.line).rstrip("\n")

    @property
    def text(self) -> str:
        """The exact expression: the columns of this range on its first line."""
        line = self.source
        end = self.end_column if self.end_line in (0, self.line) else len(line)
        # co_positions counts bytes of UTF-8, so the slice is taken there.
        return line.encode()[self.column : end].decode(errors="replace")

    def excerpt(self) -> str:
        """Two lines: the source line with its file and number, and carets under the expression."""
        line = self.source
        if not line:
            return f"  {self}"
        head = f"  {self}   "
        prefix = line.encode()[: self.column].decode(errors="replace")
        width = max(1, len(self.text))
        indent = len(line) - len(line.lstrip())
        return f"{head}{line.strip()}\n{' ' * (len(head) + len(prefix) - indent)}{'^' * width}"


class GraphcError(Exception):
    """The base of all errors that a user of graphc can cause."""

    def __init__(self, what: str, *, where: Loc | None = None, why: str = "", fix: str = "") -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where is not None:
            parts.append(self.where.excerpt())
        if self.why:
            parts.append(f"  why: {self.why}")
        if self.fix:
            parts.append(f"  fix: {self.fix}")
        return "\n".join(parts)


class ShapeError(GraphcError):
    """Shapes that do not fit.  Wrong: `gc.input("a", shape=(4,)) + gc.input("b", shape=(3,))`."""


class DTypeError(GraphcError):
    """An unknown dtype, or one that an operation does not take.  Wrong: `gc.input("x", dtype="float8")`."""


class GradientError(GraphcError):
    """A gradient that does not exist.  Wrong: `gc.grad(vector, x)`; right: `gc.grad(gc.sum(vector), x)`."""


class ArgumentError(GraphcError):
    """A missing, surplus or ill-typed argument, of a function of graphc or of a compiled function."""


class GraphError(GraphcError):
    """A graph that is not well formed: a cycle, an undefined name, a type that does not follow."""


class BackendError(GraphcError):
    """A back end that is not installed, lacks an operation, or finds no device."""


class WeightsError(GraphcError):
    """A file of weights that is damaged, or that belongs to another model."""


class GraphcWarning(UserWarning):
    """The category of all warnings of graphc."""


class InternalError(Exception):
    """A broken invariant inside graphc.  Never the user's fault; please report it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"graphc is wrong here, not your program: {what}")
