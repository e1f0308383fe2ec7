"""The chain rule, one node at a time: upstream × local = downstream.

The gradient is a graph like any other: it can be printed, compiled and differentiated again.

It prints:

    graph main
      %0: f64[] = input {name='x'}   # 01_chain_rule.py:24  gc.inputs("x y z")
      %1: f64[] = input {name='y'}   # 01_chain_rule.py:24  gc.inputs("x y z")
      %2: f64[] = input {name='z'}   # 01_chain_rule.py:24  gc.inputs("x y z")
      %3: f64[] = add %0 %1          # 01_chain_rule.py:25  x + y
      %4: f64[] = mul %3 %2          # 01_chain_rule.py:26  q * z
      %5: f64[] = const {value=1.0}  # 01_chain_rule.py:28  gc.grad(f, [x, y, z])
      %6: f64[] = mul %5 %2          # 01_chain_rule.py:26  q * z
      %7: f64[] = mul %5 %3          # 01_chain_rule.py:26  q * z
      return %4, %6, %6, %7
    f = -12, df/dx = -4, df/dy = -4, df/dz = 3
"""

from __future__ import annotations

import graphc as gc

x, y, z = gc.inputs("x y z")
q = x + y
f = q * z

main = gc.compile([x, y, z], [f, *gc.grad(f, [x, y, z])])

if __name__ == "__main__":
    print(main.stage("graph"))
    value, dx, dy, dz = main(-2.0, 5.0, -4.0)
    print(f"f = {value:g}, df/dx = {dx:g}, df/dy = {dy:g}, df/dz = {dz:g}")
