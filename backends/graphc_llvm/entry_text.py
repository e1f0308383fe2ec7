"""The LLVM text of the native entry: a CPython function that runs any compiled program.

It is the same text for all programs, so it is compiled once.  What differs is in memory, in a plan:

```
plan   ::= inputs outputs params long result single code table dims input* output* param* limit
input  ::= descr rank shape slot scalar number bytes       what an argument must be, where its address goes
output ::= descr rank shape slot                           the array to make
param  ::= cell array slot bytes                           *cell must be the array; bytes 0: it is not updated
```

`@graphc_entry(self, args, nargs, names)` follows the protocol METH_FASTCALL | METH_KEYWORDS.  `self` is a list:

| item | what |
|------|------|
| 0 | a tuple: an int64 array with the plan; `note`; whatever the plan points to |
| 1 | the careful way in Python; it takes any arguments, and is called where something does not fit |
| 2, 3 | `acquire` and `release` of the lock that a long call holds |
| 4 | `perf_counter_ns`; `note` is told the nanoseconds of a call that took longer than `*limit` |

A call is made in this order, so that nothing is half done when other Python code gets to run: look at the
arguments and note their addresses, allocate the results, and then, without any Python in between, write the
addresses into the table and run.  A short call keeps the GIL, which keeps others from its memory as well; a long
one takes the lock and gives the GIL away.  A call whose `*limit` is 0 goes the careful way.

>>> "define ptr @graphc_entry(" in TEXT
True
"""

from __future__ import annotations

from graphc_llvm.entry_parts import PARTS
from graphc_llvm.fields import expanded

CALL = """
define ptr @graphc_entry(ptr %self, ptr %args, i64 %nargs, ptr %names) {
start:
  %holder = call ptr @PyList_GetItem(ptr %self, i64 0)
  %array = call ptr @PyTuple_GetItem(ptr %holder, i64 0)
  %plan = field ptr, %Array, ptr %array, 0, 2
  %inputs.count = load i64, ptr %plan
  %as.many = icmp eq i64 %nargs, %inputs.count
  %unnamed = icmp eq ptr %names, null
  %by.place = and i1 %as.many, %unnamed
  br i1 %by.place, label %pace, label %slow

pace:
  %limit.at = getelementptr %Plan, ptr %plan, i64 0, i32 12
  %limit.cell = load ptr, ptr %limit.at
  %paced = icmp ne ptr %limit.cell, null
  br i1 %paced, label %paced.start, label %look

paced.start:
  %limit.now = load i64, ptr %limit.cell
  %resting = icmp eq i64 %limit.now, 0
  br i1 %resting, label %slow, label %look

look:
  %limit = phi i64 [ 0, %pace ], [ %limit.now, %paced.start ]
  %inputs = field ptr, %Plan, ptr %plan, 0, 9
  %given = alloca [2 x ptr], i64 %inputs.count
  br label %arguments

arguments:
  %k = phi i64 [ 0, %look ], [ %k.next, %argument.fits ]
  %arguments.done = icmp eq i64 %k, %inputs.count
  br i1 %arguments.done, label %arguments.fit, label %argument

argument:
  %value.at = getelementptr ptr, ptr %args, i64 %k
  %value = load ptr, ptr %value.at
  %input = getelementptr %Input, ptr %inputs, i64 %k
  %room = getelementptr [2 x ptr], ptr %given, i64 %k, i64 1
  %address = call ptr @argument(ptr %input, ptr %value, ptr %room)
  %place = getelementptr [2 x ptr], ptr %given, i64 %k
  store ptr %address, ptr %place
  %unfit = icmp eq ptr %address, null
  br i1 %unfit, label %slow, label %argument.fits

argument.fits:
  %k.next = add i64 %k, 1
  br label %arguments

arguments.fit:
  %params.count = field i64, %Plan, ptr %plan, 0, 2
  %params = field ptr, %Plan, ptr %plan, 0, 11
  br label %params.each

params.each:
  %p = phi i64 [ 0, %arguments.fit ], [ %p.next, %param.fits ]
  %params.done = icmp eq i64 %p, %params.count
  br i1 %params.done, label %allocate, label %param

param:
  %cell.at = getelementptr %Param, ptr %params, i64 %p
  %cell = load ptr, ptr %cell.at
  %held = load ptr, ptr %cell
  %known = field ptr, %Param, ptr %params, %p, 1
  %replaced = icmp ne ptr %held, %known
  br i1 %replaced, label %slow, label %param.same

param.same:
  %param.bytes = field i64, %Param, ptr %params, %p, 3
  %updated = icmp ne i64 %param.bytes, 0
  br i1 %updated, label %param.updated, label %param.fits

param.updated:
  %param.data = field ptr, %Array, ptr %known, 0, 2
  %shared = call i1 @overlap(ptr %inputs, i64 %inputs.count, ptr %given, ptr %param.data, i64 %param.bytes)
  br i1 %shared, label %slow, label %param.fits

param.fits:
  %p.next = add i64 %p, 1
  br label %params.each

allocate:
  call void @Py_IncRef(ptr %holder)  ; another call may put a new plan into the list
  %outputs.count = field i64, %Plan, ptr %plan, 0, 1
  %outputs = field ptr, %Plan, ptr %plan, 0, 10
  %results = alloca ptr, i64 %outputs.count
  %fixed = field ptr, %Plan, ptr %plan, 0, 4
  %is.fixed = icmp ne ptr %fixed, null
  br i1 %is.fixed, label %keep, label %fresh

keep:
  call void @Py_IncRef(ptr %fixed)
  br label %allocated

fresh:
  %single = field i64, %Plan, ptr %plan, 0, 5
  %is.single = icmp ne i64 %single, 0
  br i1 %is.single, label %one, label %several

one:
  %only = call ptr @result(ptr %outputs)
  store ptr %only, ptr %results
  %one.failed = icmp eq ptr %only, null
  br i1 %one.failed, label %failed, label %allocated

several:
  %tuple = call ptr @PyTuple_New(i64 %outputs.count)
  %tuple.failed = icmp eq ptr %tuple, null
  br i1 %tuple.failed, label %failed, label %outputs.each

outputs.each:
  %o = phi i64 [ 0, %several ], [ %o.next, %output.made ]
  %outputs.done = icmp eq i64 %o, %outputs.count
  br i1 %outputs.done, label %allocated, label %output

output:
  %record = getelementptr %Output, ptr %outputs, i64 %o
  %made = call ptr @result(ptr %record)
  %output.failed = icmp eq ptr %made, null
  br i1 %output.failed, label %tuple.drop, label %output.made

output.made:
  %made.at = getelementptr ptr, ptr %results, i64 %o
  store ptr %made, ptr %made.at
  %set = call i32 @PyTuple_SetItem(ptr %tuple, i64 %o, ptr %made)
  %o.next = add i64 %o, 1
  br label %outputs.each

tuple.drop:
  call void @Py_DecRef(ptr %tuple)
  br label %failed

allocated:
  %answer = phi ptr [ %fixed, %keep ], [ %only, %one ], [ %tuple, %outputs.each ]
  %long = field i64, %Plan, ptr %plan, 0, 3
  %is.long = icmp ne i64 %long, 0
  br i1 %is.long, label %lock, label %fill

lock:
  %waiting = alloca ptr
  store ptr @Py_False, ptr %waiting
  %acquire = call ptr @PyList_GetItem(ptr %self, i64 2)
  %got = call ptr @PyObject_Vectorcall(ptr %acquire, ptr %waiting, i64 1, ptr null)
  %got.failed = icmp eq ptr %got, null
  br i1 %got.failed, label %answer.failed, label %got.answer

got.answer:
  call void @Py_DecRef(ptr %got)
  %locked = icmp eq ptr %got, @Py_True
  br i1 %locked, label %begin, label %busy

begin:
  %began.long = call i64 @clock(ptr %self, i1 %paced)
  br label %fill

fill:
  %began = phi i64 [ 0, %allocated ], [ %began.long, %begin ]
  br label %fill.inputs

fill.inputs:
  %i = phi i64 [ 0, %fill ], [ %i.next, %fill.input ]
  %i.done = icmp eq i64 %i, %inputs.count
  br i1 %i.done, label %fill.outputs, label %fill.input

fill.input:
  %i.address.at = getelementptr [2 x ptr], ptr %given, i64 %i
  %i.address = load ptr, ptr %i.address.at
  %i.slot = field ptr, %Input, ptr %inputs, %i, 3
  store ptr %i.address, ptr %i.slot
  %i.next = add i64 %i, 1
  br label %fill.inputs

fill.outputs:
  %j = phi i64 [ 0, %fill.inputs ], [ %j.next, %fill.output ]
  %j.done = icmp eq i64 %j, %outputs.count
  br i1 %j.done, label %fill.params, label %fill.output

fill.output:
  %j.result.at = getelementptr ptr, ptr %results, i64 %j
  %j.result = load ptr, ptr %j.result.at
  %j.data = field ptr, %Array, ptr %j.result, 0, 2
  %j.slot = field ptr, %Output, ptr %outputs, %j, 3
  store ptr %j.data, ptr %j.slot
  %j.next = add i64 %j, 1
  br label %fill.outputs

fill.params:
  %q = phi i64 [ 0, %fill.outputs ], [ %q.next, %fill.param ]
  %q.done = icmp eq i64 %q, %params.count
  br i1 %q.done, label %run, label %fill.param

fill.param:
  %q.array = field ptr, %Param, ptr %params, %q, 1
  %q.data = field ptr, %Array, ptr %q.array, 0, 2
  %q.slot = field ptr, %Param, ptr %params, %q, 2
  store ptr %q.data, ptr %q.slot
  %q.next = add i64 %q, 1
  br label %fill.params

run:
  %code = field ptr, %Plan, ptr %plan, 0, 6
  %table = field ptr, %Plan, ptr %plan, 0, 7
  %dims = field ptr, %Plan, ptr %plan, 0, 8
  br i1 %is.long, label %run.long, label %run.short

run.short:
  call void %code(ptr %table, ptr %dims)
  br label %done

run.long:
  %thread = call ptr @PyEval_SaveThread()
  call void %code(ptr %table, ptr %dims)
  call void @PyEval_RestoreThread(ptr %thread)
  %ended = call i64 @clock(ptr %self, i1 %paced)
  %release = call ptr @PyList_GetItem(ptr %self, i64 3)
  %released = call ptr @PyObject_Vectorcall(ptr %release, ptr null, i64 0, ptr null)
  %release.failed = icmp eq ptr %released, null
  br i1 %release.failed, label %answer.failed, label %unlocked

unlocked:
  call void @Py_DecRef(ptr %released)
  %took = sub i64 %ended, %began
  %late = icmp sgt i64 %took, %limit
  %noted = and i1 %late, %paced
  br i1 %noted, label %report, label %done

report:
  %number = call ptr @PyLong_FromLongLong(i64 %took)
  %number.failed = icmp eq ptr %number, null
  br i1 %number.failed, label %answer.failed, label %report.tell

report.tell:
  %telling = alloca ptr
  store ptr %number, ptr %telling
  %note = call ptr @PyTuple_GetItem(ptr %holder, i64 1)
  %told = call ptr @PyObject_Vectorcall(ptr %note, ptr %telling, i64 1, ptr null)
  call void @Py_DecRef(ptr %number)
  %told.failed = icmp eq ptr %told, null
  br i1 %told.failed, label %answer.failed, label %report.done

report.done:
  call void @Py_DecRef(ptr %told)
  br label %done

done:
  call void @Py_DecRef(ptr %holder)
  ret ptr %answer

busy:
  call void @Py_DecRef(ptr %answer)
  call void @Py_DecRef(ptr %holder)
  br label %slow

answer.failed:
  call void @Py_DecRef(ptr %answer)
  br label %failed

failed:
  call void @Py_DecRef(ptr %holder)
  ret ptr null

slow:
  %careful = call ptr @PyList_GetItem(ptr %self, i64 1)
  %careful.answer = call ptr @PyObject_Vectorcall(ptr %careful, ptr %args, i64 %nargs, ptr %names)
  ret ptr %careful.answer
}
"""

TEXT = expanded(PARTS + CALL)
