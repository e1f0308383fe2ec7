"""The kinds of lines of a random program, in groups that are drawn alike often.

`tests.laws.fuzz.operands` says what the slots are.

A template that starts with a digit and a space gives so many results.  Every row of the op table is among them.

>>> any("gc.tanh(" in t for group in TEMPLATES for t in group)
True
"""

from __future__ import annotations

from graphc.ops.table import ROWS

_FIRST = {
    **dict.fromkeys(["sqrt", "rsqrt", "log", "log2", "log10", "lgamma", "digamma", "log1p", "pow"], "p"),
    **dict.fromkeys(["asin", "acos", "atanh", "tan"], "u"),
    "acosh": "g", "reciprocal": "z",
}  # fmt: skip
_SECOND = {"div": "ez", "mod": "ez", "floor_divide": "ez", "xlogy": "ep", "celu": "ep", "soft_shrink": "ep"}
_BOTH = ("same", "compare")  # rows that take integers too


def _rows() -> tuple[list[str], list[str], list[str]]:
    """Templates of the rows: of floats, of integers, of truth values and comparisons."""
    floats, integers, truths = list[str](), list[str](), list[str]()
    for row in ROWS.values():
        name = f"gc.{row.name}"
        if row.name == "polygamma":
            floats.append("gc.polygamma({k}.0, {p})")
        elif row.dtype == "select":
            floats += ["gc.where({b}, {en}, {en})", "gc.where({f} > {c}, {l}, {en})"]
            integers.append("gc.where({b}, {ei}, {ei})")
        elif row.dtype == "logic":
            truths.append(f"{name}({', '.join(['{b}', '{eb}'][: row.arity])})")
        elif row.dtype == "integer":
            integers.append(f"{name}({', '.join(['{i}', '{ei}'][: row.arity])})")
        else:
            slots = [_FIRST.get(row.name, "n"), _SECOND.get(row.name, "en"), "en"][: row.arity]
            target = truths if row.dtype in ("compare", "test") else floats
            target.append(f"{name}({', '.join('{' + s + '}' for s in slots)})")
            if row.dtype in _BOTH:
                taken = ["{i}", "{ei}", "{ei}"][: row.arity]
                integers.append(f"{name}({', '.join(taken)})")
    return floats, integers, truths


FLOATS, INTEGERS, TRUTHS = _rows()

ARITHMETIC = [
    "{n} + {en}", "{n} - {en}", "{n} * {en}", "{n} / {ez}", "{f} * {c}", "{f} + {c}", "{c} - {n}", "-{f}",
    "{f} * {s}", "{f} - {s}", "{n} ** 2", "{p} ** 0.5", "{n} ** 3", "{c} / {z}", "{f} / 4.0", "{f} * {f}",
]  # fmt: skip
CASTS = [
    '{i}.astype(F)', '{b}.astype(F)', '{f}.astype("int32")', '{f}.astype("int64")', '{i}.astype("bool")',
    "{f}.astype(H)", "{f}.astype(F)", '{i}.astype("int32")', '{b}.astype("int64")', '{f}.astype("bool")',
    "{i} * {ef}", "{i} / {k}", "{b} + {ei}", "{i}.astype(H) * {ef}",
]  # fmt: skip
CONSTANTS = [
    "{f} + {lit}", "{n} * {lit}", "gc.const([{c}, {lit}, {c}], F)", "gc.maximum({f}, {lit})",
    "gc.const({lit}, F) * {f}", "gc.arange({k} + 2).astype(F)", "gc.linspace(0.0, {c}, 4).astype(F)",
    "gc.eye({k}, dtype=F)", "gc.zeros(({k}, 2), F)", "gc.ones_like({f})", "gc.full_like({f}, {c})",
    "gc.zeros_like({f})", "gc.where({f} > {lit}, {l}, 0.0)", "gc.const({k}, 'int32') + {i}",
    "gc.less({f}, {lit})",
]  # fmt: skip
PLAIN = [
    "{f} + 0.0", "{f} * 1.0", "{f} - 0.0", "0.0 - {f}", "{f} / 1.0", "{f} * -1.0", "-(-{f})", "{n} + (-{en})",
    "{n} - (-{en})", "-({n} - {en})", "{n} * (-{en})", "{n} / (-{ez})", "(-{n}) / {ez}", "gc.abs(-{f})",
    "gc.abs(gc.abs({f}))", "gc.square(gc.abs({n}))", "gc.relu(gc.relu({f}))", "{n} * {l}", "1.0 / {z}",
    "{f} / 8.0", "{f} - {l}", "{z} / {l}", "gc.maximum({f}, {l})", "gc.logical_not(gc.logical_not({b}))",
    "gc.where(gc.logical_not({b}), {en}, {en})", "gc.where({b}, {ef}, {l})", "gc.pow({p}, 0.0)",
    "gc.pow({n}, 1.0)", "gc.pow({n}, 2.0)", "gc.pow({z}, -1.0)", "{f} * 0.0", "gc.stop_gradient({f})",
    "({f} * 2.0) * 0.25", "({n} + 1.0) - 0.5", "gc.flip(gc.flip({f1}, {ax}), {ax})",
    "gc.transpose(gc.transpose({f2}))", "gc.minimum({f}, {l})",
    "gc.sum(gc.broadcast_to({f}, (3, *{l}.shape)), 0)", "gc.concatenate([{f1}, {l}], {ax})[:2]",
    "gc.max(-{f1}, {ax})", "gc.sum(-{f1}, {ax})", "gc.sum({f1} * {c}, {ax})", "gc.logical_and({b}, {l})",
    "gc.reshape(gc.ravel({f}), {l}.shape)", "gc.square(gc.sqrt({p}))", "gc.exp(gc.log({p}))", "({i} + 0) * 1",
    "({i} * 2) - ({l} + {l})", "-(-{i})", "gc.sum(gc.sum({f2}, 0), 0)", "gc.exp({n} - gc.max({l}))",
    "gc.sum({f} + {ef})", "gc.mean({f2}, 0) - gc.mean({l})",
]  # fmt: skip
STABLE = [
    "gc.log(gc.softmax({n1}, {ax}))", "gc.log(gc.sigmoid({f}))", "gc.log(1.0 + gc.exp({f}))",
    "gc.log(1.0 + {p})", "gc.exp({n}) - 1.0", "gc.sqrt(gc.sum({n1} * {l}, {ax}))",
    "gc.sqrt(gc.sum(gc.square({n1}), {ax}))", "{f} / gc.abs({l})", "{p} * gc.log({l})",
    "gc.mean(gc.square({n1}), {ax}) - gc.square(gc.mean({l}, -1))",
    "gc.mean(gc.square({n})) - gc.square(gc.mean({l}))", "gc.log(gc.sum(gc.exp({n1}), {ax}))",
    "1.0 - gc.cos({n})", "gc.exp({n1}) / gc.sum(gc.exp({l}), {ax}, keepdims=True)",
    "gc.log(gc.exp({n}) + gc.exp({en}))", "1.0 / (1.0 + gc.exp(-{f}))", "gc.log(1.0 - gc.sigmoid({f}))",
    "gc.sqrt({p} + 1.0) - gc.sqrt({l})", "gc.square({n}) - gc.square({en})", "gc.log(1.0 - gc.exp(-{p}))",
    "gc.sqrt(gc.square({n}))", "gc.log(gc.cosh({n}))", "gc.sqrt(gc.square({n}) + gc.square({en}))",
    "{n1} / gc.sqrt(gc.sum(gc.square({l}), -1, keepdims=True))", "gc.where({f} > 0.0, gc.log({l}), 0.0)",
    "gc.where({f} != 0.0, 1.0 / {l}, {c})", "gc.where({f} >= 0.0, gc.sqrt({l}), {l})",
    "gc.where({n} > 0.0, gc.sqrt(gc.square({l}) + {l}), -{l})", "gc.where({b}, gc.log({en}), {en})",
    "gc.log1p(-gc.square(gc.tanh({n})))", "gc.log(1.0 - gc.square(gc.tanh({n})))",
    "(gc.exp({n}) - gc.exp(-{l})) / 2.0", "gc.log(gc.tanh({p}))", "gc.log(gc.sinh({p}))",
    "gc.log(gc.square({z}))", "gc.log({g} + gc.sqrt(gc.square({l}) - 1.0))",
    "gc.log({n} + gc.sqrt(gc.square({l}) + 1.0))", "gc.log((1.0 + {u}) / (1.0 - {l}))",
    "{f} * gc.sigmoid({l})", "gc.mean({n1} * {s}, -1) - gc.mean({l}, -1) * gc.mean({m}, -1)",
    "gc.sqrt(1.0 + {p}) - 1.0", "{p} * gc.log({l} / {ep})", "gc.log(gc.exp({p}) - 1.0)",
    "gc.exp({f} - gc.logsumexp({l}))", "1.0 - gc.sqrt(1.0 - {u})", "gc.minimum(gc.exp({f}), 5.0)",
    "gc.multiply_no_nan(gc.log({f}), ({l} > 0.0).astype({l}.dtype))",
]  # fmt: skip
REDUCTIONS = [
    *(f"gc.{name}({{n1}}, {{axs}}, {{kd}})" for name in (
        "sum", "mean", "prod", "max", "min", "ptp", "logsumexp", "var", "std", "count_nonzero", "median")),
    "gc.sum({i1}, {axs})", "gc.max({i1}, {ax})", "gc.prod({i1}, {ax})", "gc.any({b}, {axs})",
    "gc.all({b1}, {ax})", "gc.argmax({f1}, {ax})", "gc.argmin({f1}, {ax})", "gc.argmax({i1})",
    "gc.sum({b1}, {ax})", "gc.mean({i1})", "gc.softmax({f1}, {ax})", "gc.log_softmax({f1}, {ax})",
    "gc.norm({n1}, axis={ax})", "gc.norm({n1}, 1, {ax})", "gc.norm({n1})", "gc.var({n1}, {ax}, ddof=1)",
    "gc.quantile({f1}, 0.25, {ax})", "gc.maxout({f1}, 1, {ax})",
    "gc.norm({n1}, inf, {ax})".replace("inf", "np.inf"), "gc.sum({n2}, 0) + gc.max({l}, 0)",
]  # fmt: skip
VIEWS = [
    "gc.ravel({a})", "gc.reshape({a1}, (-1,))", "gc.reshape({a1}, ({l}.shape[-1], -1))", "gc.transpose({a2})",
    "gc.reshape({a2}, (-1, {l}.shape[0]))", "gc.expand_dims({a}, 0)", "gc.squeeze({a})",
    "gc.moveaxis({a2}, 0, -1)", "gc.swapaxes({a2}, {ax}, {ax})", "gc.flip({a1}, {ax})",
    "gc.roll({a1}, {k}, {ax})", "gc.roll({f1}, -{k})", "gc.tile({a1}, {k})", "gc.tile({a1}, (2, {k}))",
    "gc.repeat({a1}, {k}, {ax})", "{a1}[::-1]", "{a1}[..., ::2]", "{a1}[1:]", "{a1}[:-1]", "{a2}[:, 1:]",
    "{a2}[:, 0]", "{a1}[-1]", "{a1}[0]", "{a}[None]", "{a2}[::2, ::-1]", "{a1}[..., -3::2]",
    "gc.broadcast_to({a}, (2, *{l}.shape))", "gc.concatenate([{a1}, {s}], {ax})",
    "gc.concatenate([{f1}, {s}, {l}], {ax})", "gc.stack([{a}, {s}], 0)", "gc.stack([{f}, {s}], -1)",
    "gc.pad({a1}, ({k}, 1))", "gc.pad({f1}, (1, {k}), {c})", "gc.pad({f1}, 1, mode='edge')",
    "gc.pad({f1}, 1, mode='reflect')", "gc.pad({f1}, (0, 1), mode='wrap')",
    "gc.pad({f1}, 1, mode='symmetric')", "gc.tril({a2}, {k} - 2)", "gc.triu({a2})", "gc.diagonal({a2})",
    "gc.diag({f1})", "gc.trace({f2})", "gc.atleast_2d({a})", "2 gc.split({a1}, 2, {ax})",
    "2 gc.array_split({f1}, 2, {ax})", "gc.meshgrid({f1}, {f1})[0]",
    "gc.pad({f1}, ((1, 0),) + ((0, 2),) * ({l}.ndim - 1))", "{f2}[:, ::-1][1:]",
    "gc.stack([*gc.unstack({f2}, 0), {l}[0]], 0)", "gc.concatenate([{f1}[:1], {l}[1:]], 0)",
    "{f3}[:, 0, ::2]",
]  # fmt: skip
CONTRACTIONS = [
    "gc.matmul({n2}, gc.swapaxes({s}, -1, -2))", "gc.swapaxes({n2}, -1, -2) @ {s}", "{n2} @ {n2}",
    "{n1} @ {s}", "gc.matmul({n2}, {n2})", "gc.outer({n1}, {n1})", "gc.dot({n1}, {s})", "gc.vdot({n}, {s})",
    "gc.inner({n1}, {s})", "gc.tensordot({n2}, {s}, ((0,), (0,)))", "gc.tensordot({n1}, {n1}, 0)",
    "gc.kron({n1}, {n1})", "gc.einsum('...i,...i->...', {n1}, {s})",
    "gc.einsum('i...,j...->ij...', {n1}, {s})", "gc.einsum('ij,kj->ik', {n2}, {n2})",
    "gc.einsum('ij,ij->j', {n2}, {s})", "gc.einsum('ij->ji', {n2})", "gc.einsum('ii->i', {n2})",
    "gc.einsum('ij,j->i', {n2}, {n1})", "gc.einsum('i,i->', {n1}, {s})",
    "gc.einsum('ij,jk,kl->il', {n2}, {n2}, {n2})", "gc.einsum('aij,ajk->aik', {n3}, {n3})",
    "gc.einsum('i,j->ij', {n1}, {n1})", "gc.einsum('ij->', {n2})", "gc.matmul({i2}, gc.transpose({s}))",
    "gc.dot({i1}, {s})", "gc.bilinear({n1}, {s}, gc.ones((2, {l}.shape[-1], {l}.shape[-1]), F))",
    "gc.cross({n1}, {s})", "gc.convolve({n1}, {n1})", "gc.convolve({n1}, {n1}, 'same')",
    "gc.matmul({n3}, {n2})", "gc.sum({n2}[:, :, None] * {n2}[None], 1)",
    "gc.matmul({n2}, gc.ones(({l}.shape[-1], {k}), F) * 0.5)",
    "gc.matmul({n1}, gc.eye({l}.shape[0], dtype=F))",
]  # fmt: skip
_FLAT = "(gc.concatenate([gc.ravel({n1}).astype(F), gc.linspace(-1.0, 2.0, 60).astype(F)])[:%d].reshape(%s))"
_IMAGE1, _IMAGE2 = _FLAT % (24, "(2, 2, 6)"), _FLAT % (50, "(1, 2, 5, 5)")
_IMAGE3, _KERNEL = _FLAT % (36, "(1, 1, 3, 4, 3)"), _FLAT % (12, "(2, 2, 3)")
_KERNEL2, _DEPTH = _FLAT % (24, "(3, 2, 2, 2)"), _FLAT % (18, "(2, 1, 3, 3)")
WINDOWS = [
    f"gc.conv1d({_IMAGE1}, {_KERNEL}, {{k}}, 1)", f"gc.conv2d({_IMAGE2}, {_KERNEL2}, {{k}}, {{k}} - 1)",
    f"gc.conv2d({_IMAGE2}, {_DEPTH}, 1, 1, 1, 2)", f"gc.conv2d({_IMAGE2}, {_KERNEL2}, 1, 'same', 2)",
    f"gc.conv_transpose2d({_IMAGE2}, {_FLAT % (24, '(2, 3, 2, 2)')}, {{k}})", f"gc.max_pool2d({_IMAGE2}, 2)",
    f"gc.conv_transpose1d({_IMAGE1}, {_KERNEL}, {{k}})", f"gc.max_pool2d({_IMAGE2}, 3, {{k}}, 1)",
    f"gc.max_pool2d({_IMAGE2}, 2, ceil_mode=True)", f"gc.avg_pool2d({_IMAGE2}, 2, {{k}}, 1)",
    f"gc.avg_pool1d({_IMAGE1}, {{k}})", f"gc.lp_pool2d({_IMAGE2}, 2.0, 2)", f"gc.global_avg_pool({_IMAGE2})",
    f"gc.global_max_pool({_IMAGE2})", f"gc.adaptive_avg_pool2d({_IMAGE2}, {{k}})",
    f"gc.adaptive_max_pool2d({_IMAGE2}, 2)", f"gc.unfold({_IMAGE2}, 2)", f"gc.resize({_IMAGE2}, (3, 7))",
    f"gc.resize({_IMAGE2}, (7, 4), 'bilinear')", f"gc.local_response_norm({_IMAGE2}, 3)",
    f"gc.max_pool1d({_IMAGE1}, 2, {{k}})", f"gc.max_pool3d({_IMAGE3}, 2)",
    f"gc.conv3d({_IMAGE3}, {_FLAT % (8, '(1, 1, 2, 2, 2)')})",
    f"2 gc.max_pool2d({_IMAGE2}, 2, return_indices=True)", f"gc.crop({_IMAGE2}, 1, 0, 3, 2)",
    f"gc.batch_norm({_IMAGE2})", f"gc.group_norm({_IMAGE2}, {{k}})", f"gc.instance_norm({_IMAGE2})",
    "gc.layer_norm({f1}, {ax})", "gc.rms_norm({f1}, {ax})", "gc.layer_norm({f1}, -1)", "gc.batch_norm({f2})",
    f"gc.median_filter2d({_FLAT % (20, '(1, 1, 4, 5)')}, 3)",
    f"gc.affine_warp({_IMAGE2}, gc.const([[[0.9, 0.1, 0.05], [-0.2, 1.1, 0.1]]], F))",
    f"gc.upsample({_IMAGE2}, 2)", f"gc.roi_pool({_IMAGE2}, gc.const([[0.0, 0.0, 0.0, 3.0, 4.0]], F), 2)",
    f"gc.adaptive_avg_pool1d({_IMAGE1}, 4)",
]  # fmt: skip
INDEXING = [
    "gc.take({a1}, {i}, -1)", "gc.take({a1}, gc.mod({i}, 2), 0)", "gc.take({f1}, gc.argsort({l}, -1), 0)",
    "gc.take_along_axis({f1}, gc.argsort({l}, {ax}), -1)",
    "gc.take_along_axis({f1}, gc.argmax({l}, -1, keepdims=True), -1)",
    "gc.scatter_add({f1}, gc.mod({i}, 3), gc.ones((*gc.mod({l}, 3).shape, *{l}.shape[1:]), F))",
    "gc.one_hot({i}, 4, F)", "gc.one_hot(gc.argmax({f1}, {ax}), {k}, F)",
    "gc.segment_sum({f1}, gc.zeros({l}.shape[:1], 'int64'), 2)",
    "gc.segment_sum({f1}, gc.mod(gc.argsort({l}, 0), 3), 3)",
    "gc.dynamic_slice({f1}, [{k}] * {l}.ndim, (1,) * {l}.ndim)",
    "gc.dynamic_slice({f1}, [gc.argmax({l})] + [0] * ({l}.ndim - 1), (1, *{l}.shape[1:]))",
    "gc.dynamic_update_slice({f1}, {l}[:1] * {c}, [gc.argmax({l})] + [0] * ({l}.ndim - 1))",
    "gc.embedding({f2}, gc.mod({i}, 2))",
    "gc.put({f1}, gc.mod({i}, 2), {c} + gc.zeros((*{l}.shape, *{m}.shape[1:]), {m}.dtype))",
    "gc.pick({f2}, gc.argmax({l}, -1))", "gc.take({f1}, {i}, None)",
    "gc.take({f1}, gc.const([0, 1, 0], 'int64'), {ax})", "{f1}[gc.argsort({l}, 0)]",
    "{f2}[gc.mod({i1}, 2), gc.mod({l}, 3)]", "gc.take({f1}, gc.const([0, -1, 5], 'int32'), {ax})",
]  # fmt: skip
ORDERS = [
    "gc.sort({a1}, {ax})", "gc.sort({f1}, {ax}, descending=True)", "gc.argsort({f1}, {ax})",
    "2 gc.top_k({f1}, {k}, {ax})", "gc.cumsum({n1}, {ax})", "gc.cumsum({n1}, {ax}, reverse=True)",
    "gc.cumprod({n1}, {ax})", "gc.cummax({f1}, {ax})", "gc.cummin({f1}, {ax})", "gc.logcumsumexp({n1}, {ax})",
    "gc.cumsum({i1}, {ax})", "gc.sort({i1}, {ax})", "gc.quantile({f1}, [0.1, 0.5], {ax})",
    "gc.median({f1}, {ax})", "gc.cumsum({n})", "2 gc.moments({f1}, {ax})",
    "gc.cumprod({n1}, {ax}, reverse=True)",
]  # fmt: skip
LINALG = [
    "gc.linalg.inv({u1}[:, None] * {l}[None] + gc.eye({l}.shape[0], dtype={l}.dtype) * 2.0)",
    "gc.linalg.det({u1}[:, None] * {l}[None] + gc.eye({l}.shape[0], dtype={l}.dtype))",
    "gc.linalg.cholesky({u1}[:, None] * {l}[None] + gc.eye({l}.shape[0], dtype={l}.dtype))",
    "gc.linalg.solve({u1}[:, None] * {l}[None] + gc.eye({l}.shape[0], dtype={l}.dtype) * 1.5, {l})",
    "2 gc.linalg.slogdet({u1}[:, None] * {l}[None] + gc.eye({l}.shape[0], dtype={l}.dtype))",
    "gc.linalg.solve_triangular(gc.tril({u1}[:, None] * {l}) + gc.eye({l}.shape[0], dtype={l}.dtype), {l}[:, None])",
]  # fmt: skip
RANDOM = [
    "gc.random_uniform({k}, {f}.shape, F) * {ef}", "gc.random_normal({k}, {f}.shape, F)",
    "gc.random_bernoulli({k}, 0.5, {f}.shape)", "gc.random_uniform({k}, {f}.shape, 'float32', {c}, 4.0)",
    "gc.random_integers({k}, {f}.shape, -2, 5)", "gc.random_bits({k}, (3,))",
    "gc.random_permutation({k}, {f1})", "gc.dropout({f}, 0.5, {k})",
    "gc.random_bits({i}.astype('int64').sum(), {l}.shape, 'int32')", "gc.random_categorical({k}, {f1})",
    "gc.random_normal({k}, (2, 3), 'float64', 0.0, 2.0)", "gc.random_split({k})",
]  # fmt: skip
CALCULUS = [
    "gc.grad(gc.sum({f}), {x})", "gc.grad(gc.sum(gc.square({n})), {x})",
    "gc.grad(gc.sum(gc.sin({n}) * {l}), {x})", "gc.jvp({f}, [{x}], [gc.ones_like({x})])[0]",
    "gc.vjp({f}, [{x}], {l})[0]", "gc.grad(gc.mean({f}), {f})",
    "gc.hvp(gc.sum(gc.square({n})), {x}, gc.ones_like({x}))",
]  # fmt: skip

TEMPLATES: tuple[list[str], ...] = (
    FLOATS, FLOATS, FLOATS, FLOATS, ARITHMETIC, ARITHMETIC, ARITHMETIC, INTEGERS, TRUTHS, CASTS, CONSTANTS,
    PLAIN, PLAIN, STABLE, STABLE, REDUCTIONS, REDUCTIONS, VIEWS, VIEWS, VIEWS, CONTRACTIONS, CONTRACTIONS,
    WINDOWS, INDEXING, ORDERS, LINALG, RANDOM, CALCULUS,
)  # fmt: skip
"""A group that stands here twice is drawn twice as often."""
