"""Where the user wrote it: the file, the line and the exact columns of the expression that is running.

CPython keeps the columns of every instruction (`co_positions`), so the place of `x + y` inside
`(x + y) * z` costs a dictionary look-up.  Frames of graphc itself are skipped.

>>> def here():
...     return user_location()
>>> here() is not None
True
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import CodeType
from typing import ParamSpec, TypeVar

from graphc.errors import GraphcError, Loc
from graphc.ir.node import origin

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

P = ParamSpec("P")
R = TypeVar("R")


@functools.lru_cache(maxsize=4096)
def _positions(code: CodeType) -> tuple[tuple[int | None, int | None, int | None, int | None], ...]:
    return tuple(code.co_positions())


@functools.lru_cache(maxsize=65536)
def _location(filename: str, code: CodeType, instruction: int) -> Loc:
    # Code objects are equal without regard to their file: two cells may hold the same line.
    line, end_line, column, end_column = _positions(code)[instruction // 2]
    return Loc(filename, line or code.co_firstlineno, column or 0, end_column or 0, end_line or 0)


@functools.lru_cache(maxsize=4096)
def _is_ours(filename: str) -> bool:
    return os.path.abspath(filename).startswith(_PACKAGE)


def user_location() -> Loc | None:
    """The innermost expression outside graphc that is being evaluated."""
    frame = sys._getframe(1)
    while frame is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    return _location(frame.f_code.co_filename, frame.f_code, frame.f_lasti) if frame is not None else None


_active: ContextVar[bool] = ContextVar("active", default=False)


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of the language: what it builds is recorded as written at the caller's expression.

    An error from inside gets that place too, and the traceback stops there.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if _active.get():  # called by another operation, which knows the place
            return function(*args, **kwargs)
        loc = user_location()
        token = _active.set(True)
        try:
            with origin("written", loc):
                return function(*args, **kwargs)
        except GraphcError as error:
            if error.where is None:
                error.where = loc
            raise error.with_traceback(None) from None
        finally:
            _active.reset(token)

    return wrapper


def inspection(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function that looks at graphs: an error gets the caller's place; what it builds is not written there."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except GraphcError as error:
            if error.where is None:
                error.where = user_location()
            raise error.with_traceback(None) from None

    return wrapper


def calls_back(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of the language that calls functions of the user, whose operations have places of their own.

    The traceback of an error stops where the user called it.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except GraphcError as error:
            raise error.with_traceback(None) from None

    return wrapper
