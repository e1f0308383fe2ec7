"""Einstein summation: products of tensors by the letters of their axes.

```
subscripts ::= operand ("," operand)* ("->" result)?     operand ::= letter* ("..." letter*)?
```

A letter that occurs twice in one operand takes its diagonal; one that the result lacks is summed.  `...` stands for
the axes that have no letter, which broadcast.  Without a result, it is `...` and the letters that occur once, in
alphabetical order.  Several operands are multiplied two at a time, always the pair that takes the fewest
multiplications next.

>>> from graphc.lang.tensor import input
>>> einsum("...ij,...jk->...ik", input("a", ("N", 2, 3)), input("b", (3, 4))).shape
(N, 2, 4)
"""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from graphc.errors import ArgumentError, GraphcError, ShapeError
from graphc.ir.dims import Index, evaluate, names
from graphc.ir.node import node
from graphc.ir.types import broadcast_shapes
from graphc.lang.apply import common
from graphc.lang.creation import diagonal
from graphc.lang.reductions import sum
from graphc.lang.shapes import reshape, transpose
from graphc.lang.source import operation
from graphc.lang.tensor import Tensor, TensorLike
from graphc.ops.contract import Contract

__all__ = ["einsum"]

_NAMED = 64  # what a named dimension counts for, where the order of products is chosen


class _Subscripts:
    """Subscripts that fit their operands: a word of letters for each, and one for the result."""

    def __init__(self, text: str, operands: Sequence[Tensor]) -> None:
        self.text = text.replace(" ", "")
        self.operands = list(operands)
        given, arrow, result = self.text.partition("->")
        self.starts = list(itertools.accumulate((len(w) + 1 for w in given.split(",")), initial=0))
        words = given.split(",")
        for at, c in enumerate(self.text):
            if not (c.isascii() and c.isalpha()) and c not in ".,->":
                raise self.error(ArgumentError, at, f"{c!r} is no letter")
        if len(words) != len(operands):
            named = "1 operand is" if len(words) == 1 else f"{len(words)} operands are"
            why = f"{named} named, but {len(operands)} given"
            raise self.error(ArgumentError, len(given) - 1, why)
        for word, at in zip([*words, result], [*self.starts[:-1], len(given) + 2], strict=True):
            if "." in word.replace("...", "", 1) or "-" in word or ">" in word or "," in word:
                raise self.error(ArgumentError, at, f"{word!r} is not made of letters and one `...`")
        self.sizes: dict[str, Index] = {}
        free = iter(c for c in string.ascii_letters if c not in self.text)
        self.words, dots = self._spelled(words, free)
        if not arrow:
            count = Counter(given.replace(".", "").replace(",", ""))
            result = "..." * bool(dots) + "".join(sorted(c for c, n in count.items() if n == 1))
        elif dots and "..." not in result:
            raise self.error(ArgumentError, len(given) + 2, "the result lacks the `...` of the operands")
        self.result = result.replace("...", dots)
        for c, n in Counter(result.replace(".", "")).items():
            at = len(given) + 2 + result.index(c)
            if n > 1:
                raise self.error(ArgumentError, at, f"{c!r} occurs twice in the result")
            if c not in self.sizes:
                raise self.error(ArgumentError, at, f"{c!r} is in no operand")

    def _spelled(self, words: Sequence[str], free: Iterable[str]) -> tuple[list[str], str]:
        """The words with letters instead of `...`, and the letters that it stands for."""
        tails: list[tuple[Index, ...]] = []
        for k, (word, t) in enumerate(zip(words, self.operands, strict=True)):
            letters = word.replace("...", "")
            extra = t.ndim - len(letters)
            if extra < 0 or (extra and "..." not in word):
                axes = "axis" if t.ndim == 1 else "axes"
                why = f"{word!r} names {len(letters)} axes, but operand {k} is {t.node.type} with {t.ndim} {axes}"
                raise self.error(ShapeError, self.starts[k], why)
            lead = word.find("...") if "..." in word else len(letters)
            tails.append(t.shape[lead : lead + extra])
            for axis, c in enumerate(letters):
                d = t.shape[axis if axis < lead else axis + extra]
                if self.sizes.setdefault(c, d) != d:
                    at = self.starts[k] + word.index(c, word.find(c) + 1 if letters[:axis].count(c) else 0)
                    raise self.error(ShapeError, at, f"{c!r} is {self.sizes[c]}, but {d} in operand {k}")
        try:
            shape = broadcast_shapes(*tails)
        except ShapeError as error:
            raise self.error(ShapeError, self.text.index("..."), error.why) from None
        dots = "".join(itertools.islice(free, len(shape)))
        self.sizes.update(zip(dots, shape, strict=True))
        spelled = []
        for k, (word, tail) in enumerate(zip(words, tails, strict=True)):
            mine = dots[len(dots) - len(tail) :]
            # An axis of length 1 that broadcasts is left out: the product does not need it.
            kept = "".join(c for c, d in zip(mine, tail, strict=True) if self.sizes[c] == d)
            lead = word.find("...")
            shape = (
                tuple(
                    d
                    for axis, d in enumerate(self.operands[k].shape)
                    if not (lead <= axis < lead + len(tail)) or mine[axis - lead] in kept
                )
                if tail
                else self.operands[k].shape
            )
            self.operands[k] = reshape(self.operands[k], shape)
            spelled.append(word.replace("...", kept))
        return spelled, dots

    def error(self, kind: type[GraphcError], at: int, why: str) -> GraphcError:
        types = " and ".join(str(t.node.type) for t in self.operands)
        spaces = " " * 7
        return kind(
            f"cannot compute einsum of {types}", why=f"{why}\n{spaces}{self.text}\n{spaces}{' ' * at}^"
        )


@operation
def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """The sum of products that subscripts say, as `numpy.einsum`: "ij,jk->ik" is a matrix product.

    See `graphc.lang.einsum` for the grammar.  Axes of one letter must have one size: only `...` broadcasts.
    Raises ArgumentError or ShapeError, which point into the subscripts.
    """
    if not isinstance(subscripts, str):
        raise ArgumentError(f"the subscripts of einsum are {subscripts!r}", fix='write letters: "ij,jk->ik"')
    if not operands:
        raise ArgumentError("einsum needs at least one operand")
    s = _Subscripts(subscripts, common(*operands))
    terms = []
    for k, (word, t) in enumerate(zip(s.words, s.operands, strict=True)):
        elsewhere = set(s.result).union(*(w for j, w in enumerate(s.words) if j != k))
        terms.append(_summed(*_diagonals(word, t), elsewhere))
    while len(terms) > 1:
        i, j = _cheapest([w for w, _ in terms], s.sizes)
        (a, x), (b, y) = terms[i], terms[j]
        terms = [t for k, t in enumerate(terms) if k not in (i, j)]
        wanted = set(s.result).union(*(w for w, _ in terms))
        word = s.result if not terms else "".join(c for c in dict.fromkeys(a + b) if c in wanted)
        terms.append((word, Tensor(node(Contract(f"{a},{b}->{word}"), x.node, y.node))))
    ((word, t),) = terms
    return transpose(t, [word.index(c) for c in s.result])


def _diagonals(word: str, t: Tensor) -> tuple[str, Tensor]:
    """Each letter once."""
    while (c := next((c for c in word if word.count(c) > 1), None)) is not None:
        first = word.index(c)
        second = word.index(c, first + 1)
        t = diagonal(t, 0, first, second)
        word = word[:first] + word[first + 1 : second] + word[second + 1 :] + c
    return word, t


def _summed(word: str, t: Tensor, wanted: set[str]) -> tuple[str, Tensor]:
    """Without the letters that nothing else has."""
    axes = [k for k, c in enumerate(word) if c not in wanted]
    return "".join(c for c in word if c in wanted), sum(t, axes, dtype=t.dtype) if axes else t


def _cheapest(words: Sequence[str], sizes: Mapping[str, Index]) -> tuple[int, int]:
    """The pair whose product takes the fewest multiplications; of equal ones the first."""

    def cost(pair: tuple[int, int]) -> int:
        total = 1
        for c in set(words[pair[0]] + words[pair[1]]):
            d = sizes[c]
            total *= evaluate(d, dict.fromkeys(names(d), _NAMED))
        return total

    return min(itertools.combinations(range(len(words)), 2), key=cost)
