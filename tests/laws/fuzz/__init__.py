"""Random graphs over the whole language: every way to compute one must say the same.

| module                      | what it is                                                                      |
|-----------------------------|---------------------------------------------------------------------------------|
| `tests.laws.fuzz.program`   | a random graph as the lines of Python that build it                             |
| `tests.laws.fuzz.choices`   | where choices come from: a seed, or hypothesis                                  |
| `tests.laws.fuzz.grow`      | grows a program line by line, looking at the values that it computes            |
| `tests.laws.fuzz.operands`  | its leaves, and how the slots of a line are filled                              |
| `tests.laws.fuzz.templates` | the kinds of lines                                                              |
| `tests.laws.fuzz.bodies`    | loops, branches and custom gradients                                            |
| `tests.laws.fuzz.noise`     | the graph as written, and how far rounding may move each of its results         |
| `tests.laws.fuzz.checks`    | that against passes, interpreter and LLVM                                       |
| `tests.laws.fuzz.slopes`    | its gradient against differences and forward mode                               |
| `tests.laws.fuzz.shrink`    | a smaller program that goes wrong in the same way                               |

`python -m tests.laws.fuzz --graphs 20000 --seed 0 --jobs 2` runs 20 000 of them, and prints a program of a few
lines for each mismatch.  `--seed` starts elsewhere: graph k of one run is graph 0 of a run with the seed k.
"""
