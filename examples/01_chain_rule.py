"""The chain rule, one node at a time: upstream × local = downstream.

The gradient is a graph like any other: it can be printed, compiled and differentiated again.

It prints:

    forward
      x          = -2
      y          = 5
      z          = -4
      q = x + y  = 3
      f = q * z  = -12

    backward, from ∂f/∂f = 1: upstream × local = downstream
      node       operand  upstream       local              downstream
      f = q * z  q        ∂f/∂f = 1   ×  ∂f/∂q = z = -4  =  ∂f/∂q = z = -4
      f = q * z  z        ∂f/∂f = 1   ×  ∂f/∂z = q = 3   =  ∂f/∂z = q = 3
      q = x + y  x        ∂f/∂q = -4  ×  ∂q/∂x = 1       =  ∂f/∂x = z = -4
      q = x + y  y        ∂f/∂q = -4  ×  ∂q/∂y = 1       =  ∂f/∂y = z = -4

    gradients
      ∂f/∂x  = z  = -4
      ∂f/∂y  = z  = -4
      ∂f/∂z  = q  = 3

    compiled: f = -12, ∂f/∂x = -4, ∂f/∂y = -4, ∂f/∂z = 3
"""

from __future__ import annotations

import graphc as gc

x, y, z = gc.inputs("x y z")
q = x + y
f = q * z

main = gc.compile([x, y, z], [f, *gc.grad(f, [x, y, z])])

if __name__ == "__main__":
    print(gc.backprop(f, wrt=[x, y, z], at={x: -2.0, y: 5.0, z: -4.0}))
    value, dx, dy, dz = main(-2.0, 5.0, -4.0)
    print(f"\ncompiled: f = {value:g}, ∂f/∂x = {dx:g}, ∂f/∂y = {dy:g}, ∂f/∂z = {dz:g}")
