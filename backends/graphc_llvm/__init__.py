"""The LLVM back end of graphc: kernels become machine code for the CPU, through llvmlite.

`backend` is what the entry point `graphc.backends: llvm` names.
"""

from graphc_llvm.backend import LLVMBackend

backend = LLVMBackend()

__all__ = ["LLVMBackend", "backend"]
