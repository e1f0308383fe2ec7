"""From LLVM text to machine code in this process: parse, verify, optimise, emit an object, link it.

| stage      | text                                                    |
|------------|---------------------------------------------------------|
| `llvm`     | what graphc emitted                                     |
| `llvm-opt` | after LLVM's optimiser                                  |
| `asm`      | assembly, with the lines of the kernels' text as `.loc` |

The object is what the code cache keeps, under a key that names everything it depends on.  The texts of the
later stages are made when somebody asks; the pipeline is deterministic, so they belong to the code that runs.

>>> text = "define i64 @graphc_entry(ptr %a, ptr %b) { ret i64 0 }"
>>> code = Code(text)
>>> code.address != 0
True
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from collections.abc import Mapping
from functools import lru_cache

import llvmlite
import llvmlite.binding as llvm

from graphc.errors import InternalError
from graphc.kernel.program import CodeCache
from graphc_llvm.machine import cpu_and_features
from graphc_llvm.threads import runtime_symbols

ENTRY = "graphc_entry"
STAGES = ("llvm", "llvm-opt", "asm")
PIPELINE = "inline, O1 functions, O3 code, no lines"  # part of the key of cached objects
_LINE = re.compile(r",? !dbg !\d+")

_libraries = itertools.count()
_lock = threading.RLock()  # LLVM's context is shared by all modules


@lru_cache(maxsize=1)
def _initialise() -> None:
    # With debug information in a text, LLVM's parser aborts the whole process where the text is not well
    # formed; without this upgrade (which graphc's texts never need), `verify` raises an error instead.
    llvm.set_option("graphc", "-disable-auto-upgrade-debug-info")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@lru_cache(maxsize=4)
def _target_machine(cpu: str, features: str) -> llvm.TargetMachine:
    _initialise()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="small")


@lru_cache(maxsize=1)
def _linker() -> llvm.LLJIT:
    _initialise()
    # LLVM's older linker gives each section memory of its own, which may be further apart than the 32 bits by
    # which code reaches its constants: then it aborts the process.  JITLink keeps an object together.
    return llvm.create_lljit_compiler(use_jit_link=True, suppress_errors=True)


def cache_key(text: str) -> str:
    """Names the object of a text: everything that its machine code depends on."""
    cpu, features = cpu_and_features()
    version = ".".join(map(str, llvm.llvm_version_info))
    parts = (text, cpu, features, llvm.get_default_triple(), llvmlite.__version__, version, PIPELINE)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Code:
    """Machine code in this process; it stays loaded as long as this object lives."""

    def __init__(
        self, text: str, cache: CodeCache | None = None, symbols: Mapping[str, int] | None = None
    ) -> None:
        self._text = text
        key = cache_key(text) if cache is not None else ""
        found = cache.get(key) if cache is not None else None
        if found is not None and self._load(found, symbols):
            return
        built = compile_object(text)
        if not self._load(built, symbols):
            raise InternalError("LLVM does not link the object that it made")
        if cache is not None:
            cache.put(key, built)

    @classmethod
    def of(cls, object: bytes, text: str) -> Code | None:
        """The code of an object that was kept, and of the text that it was made of; None where it does not load."""
        code = cls.__new__(cls)
        code._text = text
        return code if code._load(object, None) else None

    def _load(self, object: bytes, symbols: Mapping[str, int] | None) -> bool:
        """Link an object; it may call `symbols`, by address.  False where it is not an object of this LLVM."""
        known = runtime_symbols() if symbols is None else symbols
        with _lock:
            linker = _linker()
            library = llvm.JITLibraryBuilder().add_object_img(object).export_symbol(ENTRY)
            for name, address in known.items():
                library.import_symbol(name, address)
            try:
                self._tracker = library.link(linker, f"graphc.{next(_libraries)}")
                self.address = int(self._tracker[ENTRY])
            except RuntimeError:
                return False
        self.object = object
        return True

    def text(self, stage: str) -> str:
        """The text of a stage; KeyError for an unknown one."""
        return stage_text(self._text, stage)


def stage_text(text: str, stage: str) -> str:
    """The text of a stage of the code that is made of an LLVM text; KeyError for an unknown one."""
    if stage == "llvm":
        return text
    if stage not in STAGES:
        raise KeyError(stage)
    machine = _host()
    if stage == "asm":
        return assembly_of(text, machine)
    with _lock:
        return str(_optimised(text, machine))


def compile_object(text: str) -> bytes:
    """The object file of a text, for this machine.

    Without line tables, which nobody reads there and which take a third of LLVM's time; they change no
    instruction, and the texts of the stages have them.
    """
    return object_of(_LINE.sub("", text), _host())


def object_of(text: str, machine: llvm.TargetMachine) -> bytes:
    """The object file of a text, for any machine."""
    with _lock:
        return bytes(machine.emit_object(_optimised(text, machine)))


def assembly_of(text: str, machine: llvm.TargetMachine) -> str:
    """The assembly of a text, for any machine."""
    with _lock:
        return str(machine.emit_assembly(_optimised(text, machine)))


def _host() -> llvm.TargetMachine:
    return _target_machine(*cpu_and_features())


def _optimised(text: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    try:
        # A context of its own takes all that it holds along when the module goes: types, constants, lines.
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM refuses the module that was emitted: {error}") from None
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    # Level 1 of LLVM's simplification, function by function: registers for local buffers, common
    # subexpressions, invariant code.  The kernels are vectorised, tiled and unrolled already; all of level 3
    # was measured to take twice the time and to gain nothing.
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    inline = llvm.create_new_module_pass_manager()
    inline.add_always_inliner_pass()
    inline.add_global_dead_code_eliminate_pass()
    inline.run(module, builder)
    simplify = builder.getFunctionPassManager()
    for function in module.functions:
        if not function.is_declaration:
            simplify.run(function, builder)
    return module
