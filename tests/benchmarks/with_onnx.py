"""ONNX Runtime as a competitor, for what it does: values without gradients.

The body of a workload is run once over `_Value`, which writes an ONNX node for every operator and function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from tests.benchmarks.workload import EPSILON, Array, Prepared, Problem

_OPSET, _IR_VERSION = 17, 8


class _Graph:
    """Nodes and constants, as they are written."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.nodes: list[object] = []
        self.constants: list[object] = []

    def constant(self, value: Array, name: str) -> _Value:
        self.constants.append(numpy_helper.from_array(value, name))
        return _Value(self, name)

    def node(self, op: str, *operands: _Value | float, **attributes: object) -> _Value:
        names = []
        for v in operands:
            if not isinstance(v, _Value):
                v = self.constant(np.asarray(v, self.dtype), f"c{len(self.constants)}")
            names.append(v.name)
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return _Value(self, name)


@dataclass(frozen=True)
class _Value:
    graph: _Graph
    name: str

    def __add__(self, other: _Value | float) -> _Value:
        return self.graph.node("Add", self, other)

    def __sub__(self, other: _Value | float) -> _Value:
        return self.graph.node("Sub", self, other)

    def __mul__(self, other: _Value | float) -> _Value:
        return self.graph.node("Mul", self, other)

    def __matmul__(self, other: _Value) -> _Value:
        return self.graph.node("MatMul", self, other)

    def __neg__(self) -> _Value:
        return self.graph.node("Neg", self)


class Ops:
    """See `workload.Ops`; losses are not among them."""

    def exp(self, x: _Value) -> _Value:
        return x.graph.node("Exp", x)

    def tanh(self, x: _Value) -> _Value:
        return x.graph.node("Tanh", x)

    def sigmoid(self, x: _Value) -> _Value:
        return x.graph.node("Sigmoid", x)

    def relu(self, x: _Value) -> _Value:
        return x.graph.node("Relu", x)

    def linear(self, x: _Value, w: _Value, b: _Value) -> _Value:
        return x.graph.node("Gemm", x, w, b)

    def conv2d(self, x: _Value, w: _Value, b: _Value | None, padding: int, stride: int = 1) -> _Value:
        bias = () if b is None else (b,)
        return x.graph.node("Conv", x, w, *bias, pads=[padding] * 4, strides=[stride] * 2)

    def layer_norm(self, x: _Value, gamma: _Value, beta: _Value) -> _Value:
        return x.graph.node("LayerNormalization", x, gamma, beta, epsilon=EPSILON)

    def max_pool2d(self, x: _Value, size: int, stride: int, padding: int = 0) -> _Value:
        windows = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
        return x.graph.node("MaxPool", x, **windows)

    def mean_of_places(self, x: _Value) -> _Value:
        return self.flatten(x.graph.node("GlobalAveragePool", x))

    def softmax(self, x: _Value) -> _Value:
        return x.graph.node("Softmax", x)

    def flatten(self, x: _Value) -> _Value:
        return x.graph.node("Flatten", x)


def prepare(problem: Problem, threads: int) -> Prepared:
    """A session over the model, with every optimisation."""
    graph = _Graph(problem.dtype)
    params = {name: graph.constant(a, name) for name, a in problem.params.items()}
    names = [f"x{k}" for k in range(len(problem.inputs))]
    result = problem.body(Ops(), params, *(_Value(graph, name) for name in names))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(problem.dtype))
    inputs = [
        helper.make_tensor_value_info(name, kind, a.shape)
        for name, a in zip(names, problem.inputs, strict=True)
    ]
    output = helper.make_tensor_value_info(result.name, kind or TensorProto.FLOAT, None)
    made = helper.make_graph(graph.nodes, "workload", inputs, [output], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = dict(zip(names, problem.inputs, strict=True))
    results: list[Array] = []

    def call() -> None:
        nonlocal results
        results = session.run(None, feed)

    return Prepared(call, lambda: list(results))
