"""Level 6: calls of the C library's scalar functions, lane by lane.

Used for the very large arguments of sin, cos and tan.

    lane_by_lane("sin", x)        extract each lane, call `sin` or `sinf`, insert the result
    guarded(body, fast, mask, f)  `fast`, but in a cold block f(x) for the lanes of `mask`, if there are any

>>> from graphc_llvm.vector_math.builder import Body
>>> body = Body("sin", "f32", 1, ("x",))
>>> print(body.finish(lane_by_lane("sin", body.argument(0))))
define internal float @sin(float %x) alwaysinline nounwind willreturn {
  %t0 = call float @sinf(float %x)
  ret float %t0
}
"""

from __future__ import annotations

from graphc_llvm.vector_math.builder import Body, Value


def lane_by_lane(prim: str, *arguments: Value) -> Value:
    """`prim` of the arguments by one libm call for each lane. errno is not modelled."""
    body = arguments[0].body
    fmt = body.format
    symbol = f"@{prim}{'f' if fmt.dtype == 'f32' else ''}"
    types = ", ".join([fmt.real] * len(arguments))
    body.declare(f"declare {fmt.real} {symbol}({types}) nounwind willreturn memory(none)")
    if body.lanes == 1:
        operands = ", ".join(f"{fmt.real} {a.name}" for a in arguments)
        return body.append("real", f"call {fmt.real} {symbol}({operands})")
    vector = body.type("real")
    result = Value(body, "poison", "real")
    for lane in range(body.lanes):
        scalars = [body.append("real", f"extractelement {vector} {a.name}, i32 {lane}") for a in arguments]
        operands = ", ".join(f"{fmt.real} {s.name}" for s in scalars)
        value = body.append("real", f"call {fmt.real} {symbol}({operands})")
        inserted = f"{vector} {result.name}, {fmt.real} {value.name}, i32 {lane}"
        result = body.append("real", f"insertelement {inserted}")
    return result


def guarded(body: Body, fast: Value, mask: Value, function: str) -> Value:
    """`fast`, with the lanes in `mask` replaced by `function`'s; it is called only if there are such lanes.

    A lane's result never depends on its neighbours.
    """
    real, masks = body.type("real"), body.type("mask")
    arguments = ", ".join(f"{real} %{parameter}" for parameter in body.parameters)
    some = mask
    if body.lanes > 1:
        symbol = f"@llvm.vector.reduce.or.v{body.lanes}i1"
        body.declare(f"declare i1 {symbol}({masks})")
        some = body.append("mask", f"call i1 {symbol}({masks} {mask.name})")
    body.lines.insert(0, "entry:")
    body.lines += [f"  br i1 {some.name}, label %rare, label %done", "rare:"]
    slow = body.append("real", f"call {real} @{function}({arguments})")
    mixed = body.append("real", f"select {masks} {mask.name}, {real} {slow.name}, {real} {fast.name}")
    body.lines += ["  br label %done", "done:"]
    return body.append("real", f"phi {real} [ {fast.name}, %entry ], [ {mixed.name}, %rare ]")
