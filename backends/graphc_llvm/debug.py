"""Level 6, debug information: LLVM's lines are the lines of the kernels' text.

The source file is `<program>.kernels`: the kernels one after the other with a blank line between them, as
`str(program)` prints them, one statement per line.  Every instruction carries the line of its statement, and
so does the machine code: line tables only, which change no instruction.

>>> d = DebugInfo("net")
>>> locate = d.function("k.0", 1)
>>> locate(3), locate(3)
(', !dbg !6', ', !dbg !6')
>>> print(d.text().splitlines()[-1])
!6 = !DILocation(line: 3, scope: !5)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from graphc.kernel.ir import Stmt, kernel_lines
from graphc.kernel.program import Program

_LINE = re.compile(r",? !dbg !\d+")


class DebugInfo:
    """The metadata of a module, numbered as it is asked for."""

    def __init__(self, program: str) -> None:
        self._nodes = [
            'distinct !DICompileUnit(language: DW_LANG_C, file: !3, producer: "graphc", isOptimized: true, '
            "runtimeVersion: 0, emissionKind: LineTablesOnly)",
            '!{i32 2, !"Debug Info Version", i32 3}',
            '!{i32 7, !"Dwarf Version", i32 5}',
            f'!DIFile(filename: "{program}.kernels", directory: "")',
            "!DISubroutineType(types: !{})",
        ]

    def function(self, name: str, line: int) -> Callable[[int], str]:
        """Enter a function that starts at a line; returns line → `, !dbg !n`.  `subprogram` names it."""
        scope = self._add(
            f'distinct !DISubprogram(name: "{name}", file: !3, scope: !3, line: {line}, type: !4, '
            f"scopeLine: {line}, unit: !0, spFlags: DISPFlagDefinition | DISPFlagOptimized)"
        )
        self.subprogram = scope
        known: dict[int, str] = {}

        def locate(at: int) -> str:
            if at not in known:
                known[at] = f", !dbg !{self._add(f'!DILocation(line: {at}, scope: !{scope})')}"
            return known[at]

        return locate

    def text(self) -> str:
        lines = ["!llvm.dbg.cu = !{!0}", "!llvm.module.flags = !{!1, !2}"]
        lines += [f"!{k} = {node}" for k, node in enumerate(self._nodes)]
        return "\n".join(lines)

    def _add(self, node: str) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1


def without_lines(text: str) -> str:
    """The text of a module without its instructions' lines.

    >>> without_lines("  ret void, !dbg !6")
    '  ret void'
    """
    return _LINE.sub("", text)


def line_map(program: Program) -> Mapping[int, Stmt]:
    """Line of the kernels' text → its statement; headers and blank lines have none."""
    found: dict[int, Stmt] = {}
    line = 0
    for call in program.calls:
        for _, stmt in kernel_lines(call.kernel):
            line += 1
            if stmt is not None:
                found[line] = stmt
        line += 1
    return found


def assembly_lines(assembly: str) -> Iterator[tuple[int, str]]:
    """(line of the kernels' text, instruction) for the instructions of an assembly text that have a line.

    >>> list(assembly_lines('\\t.loc\\t0 3 0\\n\\tvaddss\\t%xmm1, %xmm0, %xmm0\\n\\tretq'))
    [(3, 'vaddss %xmm1, %xmm0, %xmm0'), (3, 'retq')]
    """
    current = 0
    for text in assembly.splitlines():
        found = re.match(r"\s*\.loc\s+\d+\s+(\d+)", text)
        if found:
            current = int(found[1])
        elif re.match(r"\s*\.cfi_endproc|\S+:\s*(#.*@.*)?$", text) and not text.startswith(".L"):
            current = 0  # line tables do not reach from one function into the next
        elif current and re.match(r"\s+[a-z]", text):
            yield current, " ".join(text.split())
