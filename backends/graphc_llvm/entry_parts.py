"""The native entry's types, what it calls, and its smaller functions; see `entry_text`.

| function | what it does |
|----------|--------------|
| `@argument` | where the data of an argument are, if it is what the plan demands |
| `@overlap` | whether an argument shares memory with a parameter that is updated |
| `@result` | a new array |
| `@clock` | the time |

>>> PARTS.count("define internal")
4
"""

from __future__ import annotations

PARTS = """
%Array = type { i64, ptr, ptr, i32, ptr, ptr, ptr, ptr, i32 }
%Number = type { i64, ptr, i64 }
%Plan = type { i64, i64, i64, i64, ptr, i64, ptr, ptr, ptr, ptr, ptr, ptr, ptr }
%Input = type { ptr, i64, ptr, ptr, ptr, i64, i64 }
%Output = type { ptr, i64, ptr, ptr }
%Param = type { ptr, ptr, ptr, i64 }

@PyArray_Type = external global i8
@PyFloat_Type = external global i8
@PyLong_Type = external global i8
@Py_True = external global i8
@Py_False = external global i8

declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyTuple_GetItem(ptr, i64)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare void @PyErr_Clear()
declare ptr @PyErr_Occurred()
declare double @llvm.fabs.f64(double)

; The address of an argument's data; null where it does not fit.  `room` takes a number in another precision.
define internal ptr @argument(ptr %input, ptr %value, ptr %room) alwaysinline {
start:
  %type = field ptr, %Number, ptr %value, 0, 1
  %is.array = icmp eq ptr %type, @PyArray_Type
  br i1 %is.array, label %array, label %number

array:
  %descr.wanted = load ptr, ptr %input
  %descr = field ptr, %Array, ptr %value, 0, 7
  %descr.fits = icmp eq ptr %descr, %descr.wanted
  %rank.wanted = field i64, %Input, ptr %input, 0, 1
  %rank.at = getelementptr %Array, ptr %value, i64 0, i32 3
  %rank.small = load i32, ptr %rank.at
  %rank = sext i32 %rank.small to i64
  %rank.fits = icmp eq i64 %rank, %rank.wanted
  %flags = field i32, %Array, ptr %value, 0, 8
  %plain = and i32 %flags, 257  ; C_CONTIGUOUS | ALIGNED
  %flags.fit = icmp eq i32 %plain, 257
  %fits.a = and i1 %descr.fits, %rank.fits
  %fits.b = and i1 %fits.a, %flags.fit
  br i1 %fits.b, label %shape, label %misfit

shape:
  %wanted = field ptr, %Input, ptr %input, 0, 2
  %sizes = field ptr, %Array, ptr %value, 0, 4
  br label %axes

axes:
  %axis = phi i64 [ 0, %shape ], [ %axis.next, %axis.equal ]
  %axes.done = icmp eq i64 %axis, %rank
  br i1 %axes.done, label %array.fits, label %size

size:
  %size.at = getelementptr i64, ptr %sizes, i64 %axis
  %size.is = load i64, ptr %size.at
  %size.wanted.at = getelementptr i64, ptr %wanted, i64 %axis
  %size.wanted = load i64, ptr %size.wanted.at
  %size.fits = icmp eq i64 %size.is, %size.wanted
  br i1 %size.fits, label %axis.equal, label %misfit

axis.equal:
  %axis.next = add i64 %axis, 1
  br label %axes

array.fits:
  %data = field ptr, %Array, ptr %value, 0, 2
  ret ptr %data

number:  ; a NumPy scalar, or a float
  %held = getelementptr %Number, ptr %value, i64 0, i32 2
  %scalar = field ptr, %Input, ptr %input, 0, 4
  %is.scalar = icmp eq ptr %type, %scalar
  br i1 %is.scalar, label %in.place, label %float

float:
  %bytes = field i64, %Input, ptr %input, 0, 5
  %is.float = icmp eq ptr %type, @PyFloat_Type
  %is.int = icmp eq ptr %type, @PyLong_Type
  %kind.int = select i1 %is.int, i64 %bytes, i64 0
  %kind.int.bit = shl i64 %kind.int, 4
  %kind = select i1 %is.float, i64 %bytes, i64 %kind.int.bit
  switch i64 %kind, label %misfit [ i64 8, label %in.place
                                    i64 4, label %single
                                    i64 128, label %int
                                    i64 64, label %int ]

int:
  %integer = call i64 @PyLong_AsLongLong(ptr %value)
  %may.fail = icmp eq i64 %integer, -1
  br i1 %may.fail, label %int.looked, label %int.number

int.looked:
  %error = call ptr @PyErr_Occurred()
  %minus.one = icmp eq ptr %error, null
  br i1 %minus.one, label %int.number, label %int.failed

int.failed:
  call void @PyErr_Clear()
  ret ptr null

int.number:
  %is.double = icmp eq i64 %bytes, 8
  br i1 %is.double, label %int.double, label %int.single

int.double:
  %as.double = sitofp i64 %integer to double
  store double %as.double, ptr %room
  ret ptr %room

int.single:
  %as.single = sitofp i64 %integer to float
  store float %as.single, ptr %room
  ret ptr %room

in.place:
  ret ptr %held

single:  ; what overflows goes the careful way, which warns
  %wide = load double, ptr %held
  %narrow = fptrunc double %wide to float
  %again = fpext float %narrow to double
  %size.of = call double @llvm.fabs.f64(double %again)
  %infinite = fcmp oeq double %size.of, 0x7FF0000000000000
  store float %narrow, ptr %room
  br i1 %infinite, label %misfit, label %narrowed

narrowed:
  ret ptr %room

misfit:
  ret ptr null
}

; Whether an argument shares memory with these bytes of a parameter that is updated.
define internal i1 @overlap(ptr %inputs, i64 %count, ptr %given, ptr %first, i64 %bytes) {
start:
  %end = getelementptr i8, ptr %first, i64 %bytes
  br label %each

each:
  %k = phi i64 [ 0, %start ], [ %k.next, %apart ]
  %done = icmp eq i64 %k, %count
  br i1 %done, label %none, label %compare

compare:
  %a.at = getelementptr [2 x ptr], ptr %given, i64 %k
  %a = load ptr, ptr %a.at
  %size = field i64, %Input, ptr %inputs, %k, 6
  %a.end = getelementptr i8, ptr %a, i64 %size
  %below = icmp ult ptr %a, %end
  %above = icmp ult ptr %first, %a.end
  %both = and i1 %below, %above
  br i1 %both, label %some, label %apart

apart:
  %k.next = add i64 %k, 1
  br label %each

none:
  ret i1 false

some:
  ret i1 true
}

; A new array for a result; null where there is no memory.
define internal ptr @result(ptr %output) alwaysinline {
  %descr = load ptr, ptr %output
  call void @Py_IncRef(ptr %descr)  ; the call below takes a reference
  %rank.at = getelementptr %Output, ptr %output, i64 0, i32 1
  %rank.wide = load i64, ptr %rank.at
  %rank = trunc i64 %rank.wide to i32
  %shape = field ptr, %Output, ptr %output, 0, 2
  %array = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %descr, i32 %rank, ptr %shape,
                                      ptr null, ptr null, i32 0, ptr null)
  ret ptr %array
}

; Nanoseconds, for a call that is timed.
define internal i64 @clock(ptr %self, i1 %timed) {
start:
  br i1 %timed, label %look, label %none

look:
  %callee = call ptr @PyList_GetItem(ptr %self, i64 4)
  %answer = call ptr @PyObject_Vectorcall(ptr %callee, ptr null, i64 0, ptr null)
  %failed = icmp eq ptr %answer, null
  br i1 %failed, label %forget, label %read

forget:
  call void @PyErr_Clear()
  br label %none

read:
  %now = call i64 @PyLong_AsLongLong(ptr %answer)
  call void @Py_DecRef(ptr %answer)
  ret i64 %now

none:
  ret i64 0
}
"""
