"""Graphs that cannot be read back: each error at the line and columns of the text."""

from __future__ import annotations

import pytest

import graphc as gc
from graphc.ir.text import graph_text
from graphc.ops.registry import read_graph

X = "  %0: f64[N,3] = input {name='x'}"


def refused(*lines: str, returns: str = "  return %1") -> str:
    """The error of a graph with an input and these lines."""
    with pytest.raises(gc.GraphError) as caught:
        read_graph("\n".join(["graph g", X, *lines, returns]))
    error = caught.value
    assert error.where is not None, "the error has no place"
    text = str(error)
    assert text.count("\n") < 10 and "Traceback" not in text
    return text


def test_a_cycle() -> None:
    assert refused("  %1: f64[N,3] = add %0 %2  # forwards", "  %2: f64[N,3] = sin %1") == (
        "the graph has a cycle\n"
        "  <graph>:3   %1: f64[N,3] = add %0 %2  # forwards\n"
        "                                    ^^\n"
        "  why: %1 uses %2, %2 uses %1"
    )


def test_a_node_that_uses_itself() -> None:
    text = refused("  %1: f64[N,3] = mul %1 %0")
    assert "the graph has a cycle" in text and "why: %1 uses %1" in text


def test_a_long_cycle_is_spelled_out() -> None:
    lines = [f"  %{k}: f64[N,3] = add %0 %{k % 4 + 1}" for k in range(1, 5)]
    assert "why: %1 uses %2, %2 uses %3, %3 uses %4, %4 uses %1" in refused(*lines)


def test_a_cycle_of_many_nodes_needs_no_stack() -> None:
    lines = [f"  %{k}: f64[N,3] = sin %{k % 5000 + 1}" for k in range(1, 5001)]
    assert "the graph has a cycle" in refused(*lines).splitlines()[0]


def test_an_operand_below_its_use_is_no_cycle() -> None:
    text = refused("  %1: f64[N,3] = sin %2", "  %2: f64[N,3] = cos %0")
    assert "%2 stands below its use" in text and "cycle" not in text and "fix: put it before" in text


def test_what_is_not_defined() -> None:
    assert "%7 is not defined" in refused("  %1: f64[N,3] = add %0 %7")
    assert "%1 is not defined" in refused()
    assert "%5 is not defined" in refused("  update %5 <- %0", returns="  return %0")


def test_the_second_definition_of_a_node() -> None:
    assert "%0 is defined twice\n  <graph>:3" in refused("  %0: f64[] = input {name='y'}")


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("  %1: f64[N,3] = tamh %0", "there is no operation 'tamh'", "did you mean tanh?"),
        ("  %1: f64[N,3] = reduce %0", "there is no operation 'reduce'", ""),
        ("  %1: f32[N,3] = sin %0", "%1 is not f32[N,3]", "sin of f64[N,3] is f64[N,3]"),
        ("  %1: f64[3,N] = sin %0", "%1 is not f64[3,N]", "fix: write f64[N,3]"),
        ("  %1: half[N,3] = sin %0", "unknown dtype 'half'", "float32"),
        ("  %1: f64[N,+] = sin %0", "'+' is no dimension", ""),
        ("  %1: f64[N,3] = sin", "sin takes 1 operand, not 0", ""),
        ("  %1: f64[N,3] = add %0", "add takes 2 operands, not 1", ""),
        ("  %1: f64[] = input %0 {name='y'}", "input takes no operands, not 1", ""),
        ("  %1: f64[] = concat {axis=0}", "concat takes at least one operand, not 0", ""),
        ("  %1: f64[N,3] = sin %0 {axis=1}", "sin takes no attributes", "given: axis"),
        ("  %1: f64[N] = sum %0", "sum takes the attributes axes", "given: none"),
        ("  %1: f64[N] = sum %0 {axes=1}", "sum cannot have axes=1", "tuple[int, ...]"),
        ("  %1: f64[N] = sum %0 {axes=(True,)}", "sum cannot have axes=(True,)", ""),
        ("  %1: f64[N] = sum %0 {kind='max', axes=(1,)}", "sum takes the attributes axes", "kind, axes"),
        ("  %1: f64[N] = sum %0 {axes=(2,)}", "cannot reduce f64[N,3] over axes (2,)", "0 to 1"),
        ("  %1: f64[N] = sum %0 {axes=(1,), axes=(1,)}", "an attribute is given twice", ""),
        ("  %1: f64[N] = sum %0 {1}", "cannot read the attributes", "key=value"),
        ("  %1: f64[N] = sum %0 {axes=str(1)}", "'str(1)' is no literal", ""),
        ("  %1: f64[3,N] = transpose %0 {perm=(1, 1)}", "cannot transpose f64[N,3] by (1, 1)", ""),
        ("  %1: f64[3,N] = contract %0 %0 {spec='ij'}", "'' does not name the 2 axes", ""),
        ("  %1: f64[3,N] = contract %0 %0 {spec='ij,ij->ik'}", "contract cannot have these operands", "'k'"),
        ("  %1: f64[N,1] = conv %0 %0 {strides=(0,), dilations=(1,)}", "cannot convolve", ""),
        ("  %1: f32[N,3] = cast %0 {dtype='f16'}", "cast cannot have dtype='f16'", ""),
        ("  %1: f64[N] = const {value=[1.0]}", "a f64[N] holds no value", ""),
        ("  %1: f64[2] = const {value=[1.0]}", "the value of the constant is no f64[2]", ""),
        ("  %1: i64[1] = const {value=[1.5]}", "the value of the constant is no i64[1]", ""),
        ("  %1: i32[] = const {value='a'}", "the value of the constant is no i32[]", ""),
        ("  %1: f64[2] = const {zlib='c$@(O3;^)B'}", "the bytes of the constant are damaged", ""),
        ("  %1: f64[2] = const {data=0}", "a constant takes the attributes value", "given: data"),
        ("  %1 = sin %0", "cannot read '%1 = sin %0'", "write `%3: f32[N]"),
        ("  %1: f64[N,3] = sin %0 {", "cannot read", ""),
        ("  return %0", "the graph goes on after its return", ""),
        ("  update %0 <- %0", "only parameters can be updated", ""),
    ],
)
def test_a_line_that_is_wrong(line: str, what: str, hint: str) -> None:
    text = refused(line, returns="  return %0")
    assert text.startswith(what) and hint in text
    place = ":4 " if line == "  return %0" else ":3 "
    assert f"<graph>{place}" in text


def test_text_that_is_no_graph() -> None:
    for text, what in {
        "": "the graph has no return",
        "\n# nothing\n": "the graph has no return",
        "digraph {}": "this is no graph",
        f"graph g\n{X}": "the graph has no return",
    }.items():
        with pytest.raises(gc.GraphError, match=what):
            read_graph(text)


def test_the_bytes_of_a_constant_are_bounded_by_its_type() -> None:
    big = gc.const([0.0] * 1000)
    from graphc.ir.graph import Graph

    text = graph_text(Graph("g", (), (big.node,)))
    with pytest.raises(gc.GraphError, match=r"not those of a f64\[20\]"):
        read_graph(text.replace("f64[1000]", "f64[20]"))
    with pytest.raises(gc.GraphError, match=r"not those of a f64\[2000\]"):
        read_graph(text.replace("f64[1000]", "f64[2000]"))


def test_the_place_is_in_the_file_that_was_read(tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    path = tmp_path / "model.graph"
    path.write_text(f"graph g\n{X}\n  %1: f64[N,3] = sinn %0\n  return %1\n")
    with pytest.raises(gc.GraphError) as caught:
        read_graph(path.read_text(), source=str(path))
    assert str(caught.value).splitlines()[:3] == [
        "there is no operation 'sinn'",
        "  model.graph:3   %1: f64[N,3] = sinn %0",
        "                                 ^^^^",
    ]
