"""`python -m tests.laws.fuzz --graphs 20000 --seed 0 --jobs 2`: random graphs, computed in every way.

Graph k comes from the seed k alone, so a run that was stopped goes on with `--seed`, and several machines may
share one.  Each process takes blocks of graphs; one that dies or hangs names the graph, and another goes on.

>>> blocks(0, 250, 100)
[(0, 100), (100, 200), (200, 250)]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import graphc as gc
from tests.laws.fuzz.checks import Finding, check, ways_of
from tests.laws.fuzz.choices import Seeded
from tests.laws.fuzz.grow import grow
from tests.laws.fuzz.program import Program
from tests.laws.fuzz.shrink import shrink

BLOCK = 100
PATIENCE = 300  # seconds without a word from a process
SLOW = 30  # seconds of a processor for a graph that is mentioned
SHRINKING = 60  # seconds


def blocks(first: int, last: int, size: int = BLOCK) -> list[tuple[int, int]]:
    """The numbers first … last - 1, in blocks."""
    return [(k, min(k + size, last)) for k in range(first, last, size)]


# ---- one process -----------------------------------------------------------------------------------------------


def run_one(number: int) -> tuple[Program | None, Finding | None]:
    """Graph number k, and what is wrong with it."""
    with gc.silence("dead-gradient", "unused-input"):
        try:
            program = grow(Seeded(number))
        except Exception as error:
            return None, Finding("grow", "-", f"{type(error).__name__}: {error}")
        return program, check(program, ways_of(number))


def report(number: int, program: Program | None, found: Finding) -> str:
    """A finding with the smallest program that shows it."""
    if program is None:
        return f"graph {number}: {found}"
    until = time.monotonic() + SHRINKING

    def fails(p: Program) -> bool:
        return time.monotonic() < until and found.like(check(p, (found.way,)))

    with gc.silence("dead-gradient", "unused-input"):
        small = shrink(program, fails)
        again = check(small, (found.way,)) or found
    return f"graph {number}: {again}\n{small.source()}"


def work(first: int, last: int) -> None:
    """Run a block, and say so line by line: `begin k`, `done k`, or `found k`, the lines of a report, and `.`"""
    for number in range(first, last):
        print(f"begin {number}", flush=True)
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            program, found = run_one(number)
            text = report(number, program, found) if found is not None else ""
        if found is None:
            lines = len(program.lines) if program is not None else 0
            print(f"done {number} {lines} {time.process_time() - start:.0f}", flush=True)
        else:
            print(f"found {number}\n{text}\n.", flush=True)


# ---- all of them -----------------------------------------------------------------------------------------------


class Run:
    """Counts what the processes say."""

    def __init__(self, first: int, last: int, every: int) -> None:
        self.todo: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        for block in blocks(first, last):
            self.todo.put(block)
        self.graphs, self.lines, self.findings, self.total, self.every = 0, 0, 0, last - first, every
        self.begun, self.lock = time.monotonic(), threading.Lock()

    def finished(self, number: int, lines: int, seconds: int) -> None:
        with self.lock:
            if seconds >= SLOW:
                print(f"SLOW graph {number}: {seconds} s for {lines} lines", flush=True)
            self.graphs += 1
            self.lines += lines
            if self.graphs % self.every == 0:
                print(self.progress(), flush=True)

    def found(self, text: str) -> None:
        with self.lock:
            self.graphs += 1
            self.findings += 1
            print(f"MISMATCH {text}\n", flush=True)

    def progress(self) -> str:
        speed = self.graphs / (time.monotonic() - self.begun)
        return (
            f"{self.graphs} of {self.total} graphs, {self.lines} lines, {self.findings} mismatches, "
            f"{speed:.2f} graphs a second"
        )

    def serve(self) -> None:
        """Take blocks until there are none."""
        while True:
            try:
                first, last = self.todo.get_nowait()
            except queue.Empty:
                return
            while first < last:
                first = self.block(first, last)

    def block(self, first: int, last: int) -> int:
        """Run a block in a process of its own; the number at which to go on."""
        command = [sys.executable, "-m", "tests.laws.fuzz", "--block", str(first), str(last)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
        reader.start()
        waiting = selectors.DefaultSelector()
        waiting.register(process.stdout, selectors.EVENT_READ)
        now, said, rest = first, list[str](), b""
        why = ""
        while True:
            if not waiting.select(PATIENCE):
                why = f"no answer for {PATIENCE} seconds"
                process.kill()
                break
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in (part.decode() for part in whole):
                word, _, value = line.partition(" ")
                if said:
                    said.append(line)
                    if line == ".":
                        self.found("\n".join(said[1:-1]))
                        said, now = [], now + 1
                elif word == "begin":
                    now = int(value)
                elif word == "done":
                    self.finished(*map(int, value.split()))
                    now += 1
                elif word == "found":
                    said = [line]
        code = process.wait()
        reader.join()
        if now >= last and code == 0:
            return last
        text = b"".join(errors[-12:]).decode(errors="replace")
        self.found(f"graph {now}: the process ended ({why or f'exit status {code}'})\n{text}")
        return now + 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.laws.fuzz", description="Random graphs, computed in every way."
    )
    parser.add_argument("--graphs", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first one")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--every", type=int, default=100, help="graphs between two lines of progress")
    parser.add_argument("--block", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument(
        "--show", action="store_true", help="print the program of the first graph, and run nothing"
    )
    given = parser.parse_args(arguments)
    if given.block:
        work(*given.block)
        return 0
    if given.show:
        print(grow(Seeded(given.seed)).source())
        return 0
    run = Run(given.seed, given.seed + given.graphs, given.every)
    threads = [threading.Thread(target=run.serve) for _ in range(given.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{run.progress()}; the next one: --seed {given.seed + given.graphs}")
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
