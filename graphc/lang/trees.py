"""Level 0, trees: tensors in tuples, lists and dicts, as the bodies of loops and branches take and give them.

```
tree ::= tensor | number | array | None | (tree, ...) | [tree, ...] | {key: tree, ...}
```

>>> flat = flatten({"h": [1.0, (2.0, None)]})
>>> flat.paths, flat.structure
(("['h'][0]", "['h'][1][0]"), "{'h': [*, (*, None)]}")
>>> flat.build(["a", "b"])
{'h': ['a', ('b', None)]}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphc.ir.node import Node
from graphc.ir.types import DType, TensorType, promote
from graphc.lang.tensor import Tensor, as_tensor

Tree: TypeAlias = Any
"""A tensor, or tuples, lists and dicts of trees, or None."""


@dataclass(frozen=True, slots=True)
class Flat:
    """The tensors of a tree in order, where each is, and how the tree is put together again."""

    tree: Tree
    tensors: tuple[Tensor, ...]
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tensors)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(t.node for t in self.tensors)

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(t.node.type for t in self.tensors)

    @property
    def structure(self) -> str:
        """The tree with a star for each tensor."""
        return _text(self.tree)

    def build(self, leaves: Sequence[Any]) -> Tree:
        """The same tree with other leaves."""
        return _built(self.tree, iter(leaves))


def flatten(tree: Tree, dtype: DType | None = None) -> Flat:
    """The leaves of a tree as tensors; Python's floats get `dtype`, where one is given."""
    found = list(_leaves(tree, ""))
    tensors = tuple(as_tensor(v, dtype) if isinstance(v, float) and dtype else as_tensor(v) for v, _ in found)
    return Flat(tree, tensors, tuple(path for _, path in found))


def number_dtype(tree: Tree) -> DType | None:
    """The floating dtype of a tree's tensors and arrays, which its Python numbers take; None without any."""
    common: DType | None = None
    for leaf, _ in _leaves(tree, ""):
        if not isinstance(leaf, (bool, int, float)):
            dtype = as_tensor(leaf).dtype
            if dtype.is_float:
                common = dtype if common is None else promote(common, dtype)
    return common


def _leaves(tree: Tree, path: str) -> Iterator[tuple[Any, str]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{path}[{key!r}]")
    elif isinstance(tree, (tuple, list)):
        for k, value in enumerate(tree):
            yield from _leaves(value, f"{path}[{k}]")
    elif tree is not None:
        yield tree, path


def _built(tree: Tree, leaves: Iterator[Any]) -> Tree:
    if isinstance(tree, dict):
        return {key: _built(value, leaves) for key, value in tree.items()}
    if isinstance(tree, tuple):
        parts = [_built(value, leaves) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)  # a named tuple
    if isinstance(tree, list):
        return [_built(value, leaves) for value in tree]
    return None if tree is None else next(leaves)


def _text(tree: Tree) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {_text(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, tuple):
        inner = ", ".join(map(_text, tree))
        return f"({inner},)" if len(tree) == 1 else f"({inner})"
    if isinstance(tree, list):
        return f"[{', '.join(map(_text, tree))}]"
    return "None" if tree is None else "*"
