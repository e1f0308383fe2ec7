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
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache

import llvmlite
import llvmlite.binding as llvm

from graphc.errors import InternalError
from graphc.kernel.program import CodeCache
from graphc_llvm.debug import without_lines
from graphc_llvm.machine import cpu_and_features
from graphc_llvm.threads import runtime_symbols

ENTRY = "graphc_entry"
STAGES = ("llvm", "llvm-opt", "asm")
PIPELINE = "inline, sroa, simplify-cfg, instcombine, O3 code, no lines"  # part of the key of cached objects

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
        self._text: object = text
        if not any(self._load([make(text, cache)], symbols) for make in (compiled, compiled_anew)):
            raise InternalError("LLVM does not link the object that it made")

    @classmethod
    def linked(cls, objects: Sequence[bytes], text: object) -> Code | None:
        """The code of objects of which one has the entry, and that `str(text)` is compiled to; None where they do
        not load."""
        code = cls.__new__(cls)
        code._text = text
        return code if code._load(objects, None) else None

    @classmethod
    def of(cls, object: bytes, text: object) -> Code | None:
        """The code that was kept as `object`; None where it does not load."""
        found = _unpacked(object)
        return cls.linked(found, text) if found else None

    def _load(self, objects: Sequence[bytes], symbols: Mapping[str, int] | None) -> bool:
        """Link objects; they may call `symbols`, by address.  False where one is no object of this LLVM."""
        known = runtime_symbols() if symbols is None else symbols
        with _lock:
            linker = _linker()
            library = llvm.JITLibraryBuilder()
            for object in objects:
                library.add_object_img(object)
            library.export_symbol(ENTRY)
            for name, address in known.items():
                library.import_symbol(name, address)
            try:
                self._tracker = library.link(linker, f"graphc.{next(_libraries)}")
                self.address = int(self._tracker[ENTRY])
            except RuntimeError:
                return False
        self._objects = tuple(objects)
        return True

    @property
    def object(self) -> bytes:
        """What `of` makes the same code of."""
        return _packed(self._objects)

    def text(self, stage: str) -> str:
        """The text of a stage; KeyError for an unknown one."""
        return stage_text(str(self._text), stage)


def _packed(objects: Sequence[bytes]) -> bytes:
    """count length* object*, numbers in eight bytes."""
    numbers = (len(objects), *map(len, objects))
    return b"".join([*(n.to_bytes(8, "little") for n in numbers), *objects])


def _unpacked(content: bytes) -> list[bytes]:
    """The objects that were packed; none where they are not all there."""
    numbers = memoryview(content[: len(content) // 8 * 8]).cast("q")
    count = numbers[0] if len(numbers) else 0
    if not 0 < count < len(numbers):
        return []
    ends = list(itertools.accumulate(numbers[1 : 1 + count], initial=8 * (1 + count)))
    return [content[a:b] for a, b in itertools.pairwise(ends)] if ends[-1] == len(content) else []


def compiled(text: str, cache: CodeCache | None) -> bytes:
    """The object of a text, from the cache if it is there."""
    found = cache.get(cache_key(text)) if cache is not None else None
    return compiled_anew(text, cache) if found is None else found


def compiled_anew(text: str, cache: CodeCache | None) -> bytes:
    """The object of a text, which goes to the cache."""
    made = compile_object(text)
    if cache is not None:
        cache.put(cache_key(text), made)
    return made


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
    return object_of(without_lines(text), _host())


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
    # The kernels are tiled, vectorised and unrolled already, without invariant code and common subexpressions:
    # all of LLVM's level 1 was measured to take five times as long as what is left here, and to gain nothing.
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_sroa_pass()  # registers for local buffers
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.run(module, builder)
    return module
