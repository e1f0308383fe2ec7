"""Weights in files: safetensors, written whole or not at all, read whole or not at all.

A file holds one tensor for each parameter, under the parameter's name.  Nothing in it is ever executed.  A
new file takes the place of an old one only when it is complete on the disk; a file that is damaged, or that
belongs to another model, is refused before any parameter changes.

>>> import tempfile
>>> from graphc.lang.tensor import param
>>> w = param("w", init=[1.0, 2.0])
>>> with tempfile.TemporaryDirectory() as folder:
...     save(Path(folder) / "w.safetensors", [w])
...     w.value = [0.0, 0.0]
...     load(Path(folder) / "w.safetensors", [w])
>>> w.value
array([1., 2.])
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphc.errors import WeightsError
from graphc.ir.types import Array, DType, TensorType, dtype_of
from graphc.lang.tensor import Parameter

_NAMES = {DType.F32: "F32", DType.F64: "F64", DType.I32: "I32", DType.I64: "I64", DType.BOOL: "BOOL"}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
_LISTED = 3


def save(path: str | os.PathLike[str], parameters: Sequence[Parameter]) -> None:
    """Write parameters to a file, in place of what is there.  Raises WeightsError where that fails."""
    from safetensors.numpy import save as encode

    data = encode({p.name: p.value for p in parameters}, metadata={"format": "graphc"})
    write(Path(path), data)


def write(path: Path, data: bytes) -> None:
    """Replace a file by new content, atomically: another process sees the old file or the new one."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)  # mkstemp's 0600 would surprise whoever shares the folder
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise WeightsError(f"cannot write {path}", why=error.strerror or str(error)) from None


def load(path: str | os.PathLike[str], parameters: Sequence[Parameter]) -> None:
    """Read values for all parameters; the file must hold just these, with their shapes and dtypes.

    Raises WeightsError, with all parameters as they were, where it does not.
    """
    arrays = read(Path(path))
    _compare(Path(path), arrays, parameters)
    for p in parameters:
        p.value[...] = arrays[p.name]


def read(path: Path) -> dict[str, Array]:
    """All tensors of a safetensors file, by name.  Raises WeightsError where it is none, or damaged."""
    import safetensors

    decode: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize

    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}", why=error.strerror or str(error)) from None
    try:
        entries = decode(data)
    except safetensors.SafetensorError as error:
        raise WeightsError(
            f"{path} is no intact safetensors file",
            why=f"{error} ({len(data)} bytes)",
            fix="save the weights again, or copy the file again; nothing was changed",
        ) from None
    found: dict[str, Array] = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise WeightsError(f"{path} holds `{name}` as {entry['dtype']}", why="graphc has no such dtype")
        dtype = _DTYPES[entry["dtype"]].numpy.newbyteorder("<")
        found[name] = np.frombuffer(bytes(entry["data"]), dtype).reshape(entry["shape"])
    return found


def _compare(path: Path, arrays: Mapping[str, Array], parameters: Sequence[Parameter]) -> None:
    """Raises WeightsError that names what differs between a file and a model."""
    wanted = {p.name: p.node.type for p in parameters}
    missing = [name for name in wanted if name not in arrays]
    surplus = sorted(name for name in arrays if name not in wanted)
    if missing or surplus:
        parts = [f"it lacks {_list(missing)}"] * bool(missing) + [f"it has also {_list(surplus)}"] * bool(
            surplus
        )
        raise WeightsError(
            f"{path} holds the weights of another model",
            why=", and ".join(parts),
            fix="build the model that the file was saved from; nothing was changed",
        )
    for name, type_ in wanted.items():
        array = arrays[name]
        if array.shape != type_.shape or dtype_of(array.dtype) is not type_.dtype:
            held = TensorType.of(array.dtype, array.shape)
            differs = "shape" if array.shape != type_.shape else "dtype"
            raise WeightsError(
                f"{path} holds the weights of another model",
                why=f"`{name}` is {held} in the file and {type_} in the model: another {differs}",
                fix="build the model that the file was saved from; nothing was changed",
            )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{n}`" for n in names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


__all__ = ["load", "read", "save", "write"]
