"""Many calls of compiled code on rows of large arrays, without Python in between: an epoch of training.

The loop is the same text for all programs, so it is compiled once.  What differs is in memory, in a plan:

```
plan   ::= code table dims turns size order inputs outputs input* output*
input  ::= source bytes room slot           rows of so many bytes; the slot holds what the code is given
output ::= slot bytes                       where the next result goes; it moves on by so many bytes a turn
```

Each turn takes `size` rows of every source: those that `order` names, copied to the room; or, where `order` is
null, the next ones where they lie.  Then it calls the code, with the table and the dimensions.

>>> "define void @graphc_entry(" in TEXT
True
"""

from __future__ import annotations

import ctypes
import threading

import numpy as np

from graphc.kernel.program import CodeCache
from graphc.kernel.turns import Turns
from graphc_llvm.fields import expanded
from graphc_llvm.jit import Code

TEXT = expanded("""
%Plan = type { ptr, ptr, ptr, i64, i64, ptr, i64, i64 }
%Input = type { ptr, i64, ptr, ptr }
%Output = type { ptr, i64 }

; Rows may have any size and any alignment: lines of 64 bytes first, then words, then bytes.
define internal void @copy(ptr %to, ptr %from, i64 %bytes) #0 {
start:
  %lines = and i64 %bytes, -64
  %words = and i64 %bytes, -8
  br label %line.test

line.test:
  %a = phi i64 [ 0, %start ], [ %a.next, %line ]
  %a.more = icmp slt i64 %a, %lines
  br i1 %a.more, label %line, label %word.test

line:
  %a.from = getelementptr i8, ptr %from, i64 %a
  %a.to = getelementptr i8, ptr %to, i64 %a
  %a.value = load <16 x i32>, ptr %a.from, align 1
  store <16 x i32> %a.value, ptr %a.to, align 1
  %a.next = add i64 %a, 64
  br label %line.test

word.test:
  %b = phi i64 [ %lines, %line.test ], [ %b.next, %word ]
  %b.more = icmp slt i64 %b, %words
  br i1 %b.more, label %word, label %byte.test

word:
  %b.from = getelementptr i8, ptr %from, i64 %b
  %b.to = getelementptr i8, ptr %to, i64 %b
  %b.value = load i64, ptr %b.from, align 1
  store i64 %b.value, ptr %b.to, align 1
  %b.next = add i64 %b, 8
  br label %word.test

byte.test:
  %c = phi i64 [ %words, %word.test ], [ %c.next, %byte ]
  %c.more = icmp slt i64 %c, %bytes
  br i1 %c.more, label %byte, label %done

byte:
  %c.from = getelementptr i8, ptr %from, i64 %c
  %c.to = getelementptr i8, ptr %to, i64 %c
  %c.value = load i8, ptr %c.from, align 1
  store i8 %c.value, ptr %c.to, align 1
  %c.next = add i64 %c, 1
  br label %byte.test

done:
  ret void
}

; The rows of one turn: gathered, or where they lie.
define internal void @rows(ptr %input, ptr %order, i64 %first, i64 %size) #0 {
start:
  %source = load ptr, ptr %input
  %bytes = field i64, %Input, ptr %input, 0, 1
  %room = field ptr, %Input, ptr %input, 0, 2
  %slot = field ptr, %Input, ptr %input, 0, 3
  %in.place = icmp eq ptr %order, null
  br i1 %in.place, label %next, label %gather

next:
  %skipped = mul i64 %first, %bytes
  %here = getelementptr i8, ptr %source, i64 %skipped
  store ptr %here, ptr %slot
  ret void

gather:
  store ptr %room, ptr %slot
  br label %test

test:
  %i = phi i64 [ 0, %gather ], [ %i.next, %row ]
  %more = icmp slt i64 %i, %size
  br i1 %more, label %row, label %done

row:
  %at = add i64 %first, %i
  %number.at = getelementptr i64, ptr %order, i64 %at
  %number = load i64, ptr %number.at
  %behind = mul i64 %number, %bytes
  %from = getelementptr i8, ptr %source, i64 %behind
  %written = mul i64 %i, %bytes
  %to = getelementptr i8, ptr %room, i64 %written
  call void @copy(ptr %to, ptr %from, i64 %bytes)
  %i.next = add i64 %i, 1
  br label %test

done:
  ret void
}

define void @graphc_entry(ptr %plan, ptr %inputs) #0 {
start:
  %code = load ptr, ptr %plan
  %table = field ptr, %Plan, ptr %plan, 0, 1
  %dims = field ptr, %Plan, ptr %plan, 0, 2
  %turns = field i64, %Plan, ptr %plan, 0, 3
  %size = field i64, %Plan, ptr %plan, 0, 4
  %order = field ptr, %Plan, ptr %plan, 0, 5
  %input.count = field i64, %Plan, ptr %plan, 0, 6
  %output.count = field i64, %Plan, ptr %plan, 0, 7
  %outputs = getelementptr %Input, ptr %inputs, i64 %input.count
  br label %turn.test

turn.test:
  %t = phi i64 [ 0, %start ], [ %t.next, %turn.end ]
  %t.more = icmp slt i64 %t, %turns
  br i1 %t.more, label %turn, label %done

turn:
  %first = mul i64 %t, %size
  br label %input.test

input.test:
  %k = phi i64 [ 0, %turn ], [ %k.next, %input ]
  %k.more = icmp slt i64 %k, %input.count
  br i1 %k.more, label %input, label %call

input:
  %input.at = getelementptr %Input, ptr %inputs, i64 %k
  call void @rows(ptr %input.at, ptr %order, i64 %first, i64 %size)
  %k.next = add i64 %k, 1
  br label %input.test

call:
  call void %code(ptr %table, ptr %dims)
  br label %output.test

output.test:
  %m = phi i64 [ 0, %call ], [ %m.next, %output ]
  %m.more = icmp slt i64 %m, %output.count
  br i1 %m.more, label %output, label %turn.end

output:
  %output.at = getelementptr %Output, ptr %outputs, i64 %m
  %slot = load ptr, ptr %output.at
  %bytes = field i64, %Output, ptr %outputs, %m, 1
  %held = load ptr, ptr %slot
  %moved = getelementptr i8, ptr %held, i64 %bytes
  store ptr %moved, ptr %slot
  %m.next = add i64 %m, 1
  br label %output.test

turn.end:
  %t.next = add i64 %t, 1
  br label %turn.test

done:
  ret void
}

; A loop that copies stays one: the name of a library's function could not be linked.
attributes #0 = { nounwind "no-builtins" }
""")

_LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_HEADER = 8  # words of a plan before its inputs


_code: list[Code] = []  # compiled once; it is never unloaded
_code_lock = threading.Lock()


def _loop(cache: CodeCache | None) -> int:
    with _code_lock:
        if not _code:
            _code.append(Code(TEXT, cache, {}))
        return _code[0].address


def run(turns: Turns, code: int, threads: int, cache: CodeCache | None) -> None:
    """All turns, each on so many threads; `code` is the address of the program's entry."""
    table = np.array([*turns.addresses, threads, *turns.dims], np.int64)
    base = table.ctypes.data
    for result in turns.results:
        table[result.position] = result.address
    dims = base + 8 * (len(turns.addresses) + 1)
    words = [code, base, dims, turns.count, turns.size, turns.order, len(turns.rows), len(turns.results)]
    for r in turns.rows:
        words += [r.source, r.bytes, r.room, base + 8 * r.position]
    for result in turns.results:
        words += [base + 8 * result.position, result.bytes]
    plan = np.array(words, np.int64)
    _LOOP(_loop(cache))(plan.ctypes.data, plan.ctypes.data + 8 * _HEADER)
