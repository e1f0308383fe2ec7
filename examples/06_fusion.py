"""Fusion: six operations become one loop.

Nothing between the operations goes through memory: the loop reads its inputs once and writes its result once.
Here is the way down, level by level; `graphc show examples/06_fusion.py --stage asm` prints the last one.

It prints:

    fused
    graph main, 1 kernel
    k0: reads %0, %1, %2
         %3: f32[N,256] = expand %1 {shape=('N', 256)}
         %4: f32[N,256] = mul %0 %3
         %5: f32[N,256] = expand %2 {shape=('N', 256)}
         %6: f32[N,256] = add %4 %5
         %7: f32[N,256] = tanh %6
      *  %8: f32[N,256] = square %7
    kernels
    kernel k0_square(x: f32[N,256] in, scale: f32[256] in, bias: f32[256] in, out0: f32[N,256] out)
      for i0 in 0..N
        for i1 in 0..256
          t0 = load x[i0,i1]
          t1 = load scale[i1]
          t2 = mul t0 t1
          t3 = load bias[i1]
          t4 = add t2 t3
          t5 = tanh t4
          t6 = mul t5 t5
          store out0[i0,i1], t6
    scheduled
    kernel k0_square(...)
      for i0 in 0..N parallel
        ...
"""

from __future__ import annotations

import graphc as gc

x = gc.input("x", shape=("N", 256), dtype="float32")
scale = gc.input("scale", shape=256, dtype="float32")
bias = gc.input("bias", shape=256, dtype="float32")

y = gc.tanh(x * scale + bias) ** 2

main = gc.compile([x, scale, bias], y)

if __name__ == "__main__":
    for stage in ("fused", "kernels", "scheduled"):
        print(stage)
        print(main.stage(stage))
