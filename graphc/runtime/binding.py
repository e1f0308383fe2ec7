"""Bound calls: a function with the arrays that it reads and writes, so that a call does nothing but compute.

>>> import graphc as gc
>>> x, y = gc.inputs("x y")
>>> fn = gc.compile([x, y], [x * y, x + y])
>>> a, b = np.array(2.0), np.array(3.0)
>>> bound = fn.bind(a, b)
>>> bound()
(array(6.), array(5.))
>>> a[...] = 10.0                       # arguments are read where they are, at every call
>>> bound() is bound.outputs, bound.outputs
(True, (array(30.), array(13.)))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn, Self

import numpy as np

from graphc.errors import ArgumentError
from graphc.ir.dims import evaluate
from graphc.ir.node import Node
from graphc.ir.types import Array, shape_text
from graphc.kernel.entry import Binding
from graphc.lang.source import user_location
from graphc.runtime.caller import Caller, aligned
from graphc.runtime.gate import Call, Gate


class BoundCall(Call):
    """What `fn.bind` returns.  Called without arguments it computes, and returns `outputs`: always the same arrays.

    `inputs` are the arrays that it reads; `outputs` is one array where the function returns one, else a tuple.
    """

    inputs: tuple[Array, ...]
    outputs: Array | tuple[Array, ...]
    _title: str

    def __new__(
        cls, caller: Caller, args: Sequence[object], kwargs: Mapping[str, object], out: object
    ) -> Self:
        try:
            work = _Work(caller, args, kwargs, out)
        except ArgumentError as error:
            _blame(error)
        executable = None if caller.compiled is None else caller.compiled.executable
        self = super().__new__(cls, work.gate, executable, caller.lock, work.careful)
        self.inputs, self.outputs, self._title = tuple(work.inputs), work.answer, caller.graph.name
        work.open()
        return self

    def __repr__(self) -> str:
        return f"<bound call of {self._title}>"


class _Work:
    """The arrays of a bound call, and the careful way to compute."""

    def __init__(
        self, caller: Caller, args: Sequence[object], kwargs: Mapping[str, object], out: object
    ) -> None:
        self._caller, self.gate = caller, Gate()
        self.inputs = _inputs(caller, args, kwargs)
        dims = caller.arguments.dims(self.inputs)
        caller.check(dims)
        shapes = [tuple(evaluate(d, dims) for d in n.type.shape) for n in caller.graph.outputs]
        if out is None:
            self.results = [aligned(s, d) for s, d in zip(shapes, caller.output_dtypes, strict=True)]
        else:
            self.results = _outputs(caller, out, shapes)
        self.answer = self.results[0] if caller.single else tuple(self.results)
        self._keep_apart()

    def careful(self, /, *args: object, **kwargs: object) -> Array | tuple[Array, ...]:
        """A call that looks whether a parameter has another array."""
        try:
            if args or kwargs:
                raise ArgumentError(
                    "a bound call takes no arguments",
                    why="it reads the arrays that were bound",
                    fix="write into them before the call: x[...] = value",
                )
            self._keep_apart()
        except ArgumentError as error:
            _blame(error)
        caller = self._caller
        if caller.compiled is None:
            for result, value in zip(self.results, caller.evaluate(self.inputs), strict=True):
                result[...] = value
        else:
            caller.run(caller.compiled, self.inputs, self.results)
            self.open()
        return self.answer

    def open(self) -> None:
        """From now on calls go the native way, until a parameter has another array."""
        self.gate.open(None, self._caller.params, self._binding)

    def _binding(self) -> Binding:
        caller = self._caller
        compiled = caller.compiled
        assert compiled is not None
        with caller.lock:
            _, space = caller.workspace(compiled, self.inputs)
        return Binding(
            addresses=tuple(caller.table(compiled, space, self.inputs, self.results)),
            dims=tuple(space.dims),
            inputs=(),
            outputs=(),
            params=caller.param_slots(compiled),
            single=caller.single,
            result=self.answer,
            keep=(space, compiled, self.inputs),
        )

    def _keep_apart(self) -> None:
        """Raises ArgumentError where something that is written shares memory with anything else."""
        names = self._caller.arguments.names
        read = [(f"`{name}`", a) for name, a in zip(names, self.inputs, strict=True)]
        params = [(f"the parameter `{p.title}`", p.variable.value) for p in self._caller.param_ops]
        for k, result in enumerate(self.results):
            mine = _output_name(self._caller, k)
            others = [*read, *params, *((_output_name(self._caller, j), self.results[j]) for j in range(k))]
            for name, a in others:
                if np.may_share_memory(result, a):
                    raise ArgumentError(
                        f"{mine} shares memory with {name}",
                        why="results are written while the arguments are still read",
                        fix="bind arrays that do not overlap",
                    )
        updated = [(f"`{p.title}`", p.variable.value) for p in self._caller.updated_ops]
        for name, a in read:
            for param, value in updated:
                if np.may_share_memory(a, value):
                    raise ArgumentError(
                        f"{name} shares memory with the parameter {param}",
                        why="the call updates the parameter in place, while it still reads the argument",
                        fix=f"bind a copy of {name}",
                    )


def _inputs(caller: Caller, args: Sequence[object], kwargs: Mapping[str, object]) -> list[Array]:
    """The arguments, none of them copied; raises ArgumentError."""
    arguments = caller.arguments
    given = arguments.by_place(args, kwargs)
    arrays = arguments.prepared(given)
    for n, name, value, a in zip(arguments.nodes, arguments.names, given, arrays, strict=True):
        if not isinstance(value, np.ndarray):
            raise ArgumentError(
                f"`{name}` is {n.type}, and what is bound to it is a {type(value).__name__}",
                why="a bound call reads its arguments where they are, so they must be arrays",
                fix=f'bind np.array({name}, "{a.dtype}")',
            )
        plain = "np.array" if value.flags.c_contiguous else "np.ascontiguousarray"
        _check_plain(f"`{name}`", value, f"{plain}({name})")
    return arrays


def _outputs(caller: Caller, out: object, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """The arrays that were given for the results; raises ArgumentError."""
    given = [out] if caller.single else out
    if not isinstance(given, (list, tuple)) or len(given) != len(shapes):
        if isinstance(given, (list, tuple)):
            got = f"has {len(given)} of them"
        else:
            got = "is one array" if isinstance(out, np.ndarray) else f"is a {type(out).__name__}"
        raise ArgumentError(
            f"{caller.graph.name} returns {len(shapes)} arrays, and `out` {got}",
            fix=f"pass a list of {len(shapes)} arrays, or leave `out` away",
        )
    names = [_output_name(caller, k) for k in range(len(shapes))]
    return [_output(*each) for each in zip(names, caller.graph.outputs, given, shapes, strict=True)]


def _output(name: str, n: Node, a: object, shape: tuple[int, ...]) -> Array:
    """The array that was given for one result; raises ArgumentError."""
    wanted = n.type.dtype.numpy
    instead = f'np.empty({shape}, "{wanted}")'
    if not isinstance(a, np.ndarray) or a.dtype != wanted or a.shape != shape:
        got = f"{a.dtype}{shape_text(a.shape)}" if isinstance(a, np.ndarray) else f"a {type(a).__name__}"
        raise ArgumentError(f"{name} is {n.type}, and what is bound to it is {got}", fix=f"bind {instead}")
    if not a.flags.writeable:
        raise ArgumentError(
            f"{name} cannot be bound to an array that is read-only",
            why="the results are written into it",
            fix=f"bind {instead}",
        )
    _check_plain(name, a, instead)
    return np.asarray(a)


def _check_plain(name: str, a: Array, instead: str) -> None:
    if not (a.flags.c_contiguous and a.flags.aligned):
        lacking = "aligned" if a.flags.c_contiguous else "contiguous"
        raise ArgumentError(
            f"{name} cannot be bound to an array that is not {lacking}",
            why="compiled code reads and writes plain memory, and a bound call copies nothing",
            fix=f"bind {instead}",
        )


def _output_name(caller: Caller, k: int) -> str:
    return "the output" if caller.single else f"output {k}"


def _blame(error: ArgumentError) -> NoReturn:
    """Raise it at the user's line."""
    error.where = user_location()
    raise error.with_traceback(None) from None
