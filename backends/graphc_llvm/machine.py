"""The machine that runs this process, as LLVM and the operating system describe it.

| LLVM feature         | vector bytes | registers |
|----------------------|--------------|-----------|
| avx512f              | 64           | 32        |
| avx2 or avx          | 32           | 16        |
| neon                 | 16           | 32        |
| anything else        | 16           | 16        |

>>> vector_unit({"avx512f": True, "avx2": True})
(64, 32)
>>> size_in_bytes("48K")
49152
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import llvmlite.binding as llvm

from graphc.config import setting
from graphc.kernel.program import Machine

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def vector_unit(features: Mapping[str, bool]) -> tuple[int, int]:
    """(bytes of a vector register, number of vector registers) for LLVM's features of a CPU."""
    for feature, size, registers in (
        ("avx512f", 64, 32),
        ("avx2", 32, 16),
        ("avx", 32, 16),
        ("neon", 16, 32),
    ):
        if features.get(feature, False):
            return size, registers
    return 16, 16


def size_in_bytes(text: str) -> int:
    """`48K` as the kernel writes it in /sys."""
    text = text.strip()
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


def cache_bytes(level: int, default: int) -> int:
    """The size of the data cache of a level, from /sys; the default where that is not there."""
    for index in sorted(_CACHES.glob("index*")):
        try:
            kind = (index / "type").read_text().strip()
            if kind != "Instruction" and int((index / "level").read_text()) == level:
                return size_in_bytes((index / "size").read_text())
        except (OSError, ValueError):
            continue
    return default


@lru_cache(maxsize=1)
def host_features() -> Mapping[str, bool]:
    return dict(llvm.get_host_cpu_features())


def cpu_and_features() -> tuple[str, str]:
    """LLVM's name of the CPU, and its features as one string; `GRAPHC_CPU` names another CPU."""
    chosen = setting("GRAPHC_CPU")
    if chosen != "native":
        return chosen, ""
    return str(llvm.get_host_cpu_name()), ",".join(
        f"{'+' if on else '-'}{f}" for f, on in sorted(host_features().items())
    )


def host_machine(threads: int) -> Machine:
    """What schedules need to know of this machine."""
    cpu, features = cpu_and_features()
    known = host_features() if features else _features_of(cpu)
    size, registers = vector_unit(known)
    caches = cache_bytes(1, 32 * 1024), cache_bytes(2, 512 * 1024)
    return Machine(cpu, size, registers, *caches, threads, bf16=known.get("avx512bf16", False))


def _features_of(cpu: str) -> Mapping[str, bool]:
    """The vector features that the name of a CPU implies."""
    if cpu in ("cooperlake", "sapphirerapids", "znver4", "znver5"):
        return {"avx512f": True, "avx512bf16": True}
    if cpu in ("x86-64-v4", "skylake-avx512", "icelake-server"):
        return {"avx512f": True}
    if cpu in ("x86-64-v3", "haswell", "skylake", "znver1", "znver2", "znver3"):
        return {"avx2": True}
    return {}
