"""Programs with one fault each, and the whole text of what the linter says about them."""

from __future__ import annotations

PROGRAMS = {
    "dead-gradient": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.floor(w * 2.0))
        found = gc.lint(loss, w)
        """,
        """
        warning: dead-gradient: the gradient by `w` is zero everywhere
          model.py:2   loss = gc.sum(gc.floor(w * 2.0))
                                     ^^^^^^^^^^^^^^^^^
          why: every path from it to the loss goes through floor, whose slope is 0
          fix: use a smooth form, or pass the gradient on as if there were no step: x + gc.stop_gradient(f(x) - x)
        """,
    ),
    "dead-gradient of what is held": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.stop_gradient(w) * 2.0)
        found = gc.lint(loss, w)
        """,
        """
        warning: dead-gradient: the gradient by `w` is zero everywhere
          model.py:2   loss = gc.sum(gc.stop_gradient(w) * 2.0)
                                     ^^^^^^^^^^^^^^^^^^^
          why: every path from it to the loss goes through stop_gradient, which holds it constant
          fix: drop gc.stop_gradient, or leave the tensor out of `wrt`
        """,
    ),
    "dead-gradient of two ways": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.where(w > 0.0, 1.0, 2.0) + gc.sign(w))
        found = gc.lint(loss, w)
        """,
        """
        warning: dead-gradient: the gradient by `w` is zero everywhere
          model.py:2   loss = gc.sum(gc.where(w > 0.0, 1.0, 2.0) + gc.sign(w))
                                                                   ^^^^^^^^^^
          why: every path from it to the loss goes through sign, whose slope is 0 or a comparison, which has no slope
          fix: use a smooth form, or pass the gradient on as if there were no step: x + gc.stop_gradient(f(x) - x)
        """,
    ),
    "dead-gradient of a dead relu": (
        """
        w, x = gc.param("w", 3), gc.param("x", 3)
        loss = gc.sum(gc.relu(-gc.square(w) - 1.0) + x)
        found = gc.lint(loss, w)
        """,
        """
        warning: dead-gradient: the gradient by `w` is zero everywhere
          model.py:2   loss = gc.sum(gc.relu(-gc.square(w) - 1.0) + x)
                                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: every path from it to the loss goes through relu at an operand in (-inf, -1], where its slope is 0
          fix: check the sign of what goes into it, or use gc.leaky_relu
        """,
    ),
    "dead-gradient without a path": (
        """
        w, x = gc.param("w", 3), gc.param("x", 3)
        loss = gc.sum(x)
        found = gc.lint(loss, w)
        """,
        """
        warning: dead-gradient: the loss does not depend on `w`
          model.py:1   w, x = gc.param("w", 3), gc.param("x", 3)
                              ^^^^^^^^^^^^^^^^
          why: no path of the graph leads from it to the loss, so its gradient is zero everywhere
          fix: leave it out of `wrt`, or check that the tensor you built the loss from is the one you mean
        """,
    ),
    "int-cast-cuts-gradient": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(w * w.astype("int64").astype("float32"))
        found = gc.lint(loss, w)
        """,
        """
        warning: int-cast-cuts-gradient: no gradient flows through the cast from f32 to i64
          model.py:2   loss = gc.sum(w * w.astype("int64").astype("float32"))
                                         ^^^^^^^^^^^^^^^^^
          why: integers have no slope, so what was cast counts as a constant in the gradient
          fix: drop the cast, or say that it is meant: x + gc.stop_gradient(gc.floor(x) - x)
        """,
    ),
    "constant-loss": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.relu(-gc.exp(w)))
        found = gc.lint(loss, w)
        """,
        """
        warning: constant-loss: the loss is a constant
          model.py:2   loss = gc.sum(gc.relu(-gc.exp(w)))
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: it is 0 whatever the inputs and parameters are
          fix: check that the tensor you built the loss from is the one you mean
        """,
    ),
    "nan-gradient of a logarithm": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.log(gc.abs(w)))
        found = gc.lint(loss, w)
        """,
        """
        warning: nan-gradient: the gradient through log can be NaN or infinite
          model.py:2   loss = gc.sum(gc.log(gc.abs(w)))
                                     ^^^^^^^^^^^^^^^^^
          why: its operand can be anything in [0, inf), and log wants more than 0
          fix: keep it away from 0: gc.log(gc.maximum(x, 1e-12))
        """,
    ),
    "nan-gradient of a root": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.sqrt(gc.abs(w)))
        found = gc.lint(loss, w)
        """,
        """
        warning: nan-gradient: the gradient through sqrt can be NaN or infinite
          model.py:2   loss = gc.sum(gc.sqrt(gc.abs(w)))
                                     ^^^^^^^^^^^^^^^^^^
          why: its operand can be 0, and the slope of sqrt, 1/(2·sqrt(x)), is infinite at 0
          fix: keep it away from 0: gc.sqrt(x + 1e-12)
        """,
    ),
    "nan-gradient of a quotient": (
        """
        x, w = gc.input("x", 3), gc.param("w", 3, "float64")
        loss = gc.sum(x / gc.sum(w * w))
        found = gc.lint(loss, w)
        """,
        """
        warning: nan-gradient: the gradient through div can be NaN or infinite
          model.py:2   loss = gc.sum(x / gc.sum(w * w))
                                     ^^^^^^^^^^^^^^^^^
          why: its divisor can be anything in [0, inf), and a quotient by 0 is infinite or NaN
          fix: keep the divisor away from 0: x / (y + 1e-12)
        """,
    ),
    "nan-gradient of an input, which may be known": (
        """
        x = gc.input("x")
        loss = 1.0 / x
        found = gc.lint(loss, x)
        """,
        """
        note: nan-gradient: the gradient through div can be NaN or infinite
          model.py:2   loss = 1.0 / x
                              ^^^^^^^
          why: its divisor can be anything in (-inf, inf), and a quotient by 0 is infinite or NaN
          fix: choose the divisor: x / gc.where(y != 0, y, 1.0)
        """,
    ),
    "nan-loss": (
        """
        w = gc.param("w", 3)
        loss = gc.sum(gc.log(gc.relu(w)))
        found = gc.lint(loss, w)
        """,
        """
        warning: nan-loss: the loss can be NaN or infinite through log
          model.py:2   loss = gc.sum(gc.log(gc.relu(w)))
                                     ^^^^^^^^^^^^^^^^^^
          why: its operand can be anything in [0, inf), and log wants more than 0
          fix: keep it away from 0: gc.log(gc.maximum(x, 1e-12))
        """,
    ),
    "rescued": (
        """
        w = gc.param("w", ())
        loss = 1.0 / (1.0 + gc.exp(-w))
        found = gc.lint(loss, w, show_rescued=True)
        """,
        """
        note: rescued: div is computed by the rule sigmoid
          model.py:2   loss = 1.0 / (1.0 + gc.exp(-w))
                              ^^^^^^^^^^^^^^^^^^^^^^^^
          why: 1/(1 + exp(−x)) = sigmoid(x): as written it overflows or cancels, in its value or in its gradient
          fix: nothing is to be done
        """,
    ),
    "broadcast-loss": (
        """
        x, t, w = gc.input("x", ("N", 3), "float32"), gc.input("t", ("N",), "float32"), gc.param("w", (3, 1))
        loss = gc.mean((x @ w - t) ** 2)
        found = gc.lint(loss)
        """,
        """
        warning: broadcast-loss: f32[N,1] against f32[N] in the loss is broadcast to f32[N,N]
          model.py:2   loss = gc.mean((x @ w - t) ** 2)
                                       ^^^^^^^^^
          why: every one of the N outputs is compared with every one of the N targets
          fix: give both one shape: x[:, 0] makes [N] of [N,1]
        """,
    ),
    "softmax-twice": (
        """
        x, t, w = gc.input("x", ("N", 3), "float32"), gc.input("t", ("N",), "int64"), gc.param("w", (3, 4))
        p = gc.softmax(x @ w)
        loss = nn.losses.softmax_cross_entropy(t, p)
        found = gc.lint(loss)
        """,
        """
        warning: softmax-twice: softmax is applied to what is a softmax already
          model.py:3   loss = nn.losses.softmax_cross_entropy(t, p)
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: the inner one, at model.py:2, gives numbers from 0 to 1: as logits they hardly tell classes apart
          fix: drop the first softmax: a cross-entropy from logits applies it itself
        """,
    ),
    "output-loss-mismatch of squares": (
        """
        x, t, w = gc.input("x", ("N", 3), "float32"), gc.input("t", ("N", 4), "float32"), gc.param("w", (3, 4))
        loss = nn.losses.mse(t, gc.softmax(x @ w))
        found = gc.lint(loss)
        """,
        """
        warning: output-loss-mismatch: a softmax is compared by squared error
          model.py:2   loss = nn.losses.mse(t, gc.softmax(x @ w))
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: where the softmax is sure and wrong, the slope of the squared error is nearly 0: it learns no more
          fix: use a cross-entropy of the logits: gc.log_softmax
        """,
    ),
    "output-loss-mismatch of logits": (
        """
        x, t, w = gc.input("x", ("N", 3), "float32"), gc.input("t", ("N",), "int64"), gc.param("w", (3, 4))
        y = gc.sigmoid(x @ w)
        loss = nn.losses.softmax_cross_entropy(t, y)
        found = gc.lint(loss)
        """,
        """
        warning: output-loss-mismatch: the logits of a softmax cross-entropy are the result of sigmoid
          model.py:3   loss = nn.losses.softmax_cross_entropy(t, y)
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: sigmoid, at model.py:2, keeps them between 0 and 1, so that no class can become sure
          fix: drop sigmoid from the last layer: logits are any numbers
        """,
    ),
    "output-loss-mismatch of probabilities": (
        """
        x, t, w = gc.input("x", ("N", 3), "float32"), gc.input("t", ("N", 4), "float32"), gc.param("w", (3, 4))
        loss = nn.losses.binary_cross_entropy(t, gc.relu(x @ w))
        found = gc.lint(loss)
        """,
        """
        warning: output-loss-mismatch: a binary cross-entropy of probabilities is given the result of relu
          model.py:2   loss = nn.losses.binary_cross_entropy(t, gc.relu(x @ w))
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: relu can be anything in [0, inf), and a probability lies in [0, 1]
          fix: apply gc.sigmoid to it, or use the cross-entropy from logits
        """,
    ),
    "output-loss-mismatch of one class": (
        """
        x, t, w = gc.input("x", ("N", 3), "float32"), gc.input("t", ("N",), "int64"), gc.param("w", (3, 1))
        loss = nn.losses.softmax_cross_entropy(t, x @ w)
        found = gc.lint(loss, silence=["constant-loss", "dead-gradient"])
        """,
        """
        warning: output-loss-mismatch: softmax over one class is always 1
          model.py:2   loss = nn.losses.softmax_cross_entropy(t, x @ w)
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: the cross-entropy of one class is 0 whatever the network says
          fix: use two outputs, or one with a binary cross-entropy: gc.sigmoid(y)
        """,
    ),
    "saturating-chain": (
        """
        x = h = gc.input("x")
        for _ in range(5):
            h = gc.sigmoid(h)
        found = gc.lint(h)
        """,
        """
        warning: saturating-chain: the gradient by `x` passes 5 sigmoids, whose slopes multiply to at most 0.00075
          model.py:3   h = gc.sigmoid(h)
                           ^^^^^^^^^^^^^
          why: the slope of sigmoid is at most 1/4, and the chain rule multiplies: the first layers hardly learn
          fix: use an activation whose slope does not vanish, such as gc.relu, or add a path around the layers: x + f(x)
        """,
    ),
    "saturating-chain at a point": (
        """
        x = gc.input("x", 3)
        loss = gc.sum(gc.tanh(x))
        found = gc.lint(loss, at={x: [30.0, 0.5, -9.0]})
        """,
        """
        warning: saturating-chain: 2 of the 3 elements of tanh have a slope below 0.01 at this point
          model.py:2   loss = gc.sum(gc.tanh(x))
                                     ^^^^^^^^^^
          why: its operand reaches 30 in size, where tanh is flat and hardly a gradient passes
          fix: scale the inputs, or make the initial weights smaller
        """,
    ),
    "linear-collapse": (
        """
        x, w, v = gc.input("x", ("N", 3), "float32"), gc.param("w", (3, 8)), gc.param("v", (8, 2))
        y = (x @ w) @ v
        found = gc.lint(gc.mean(y * y))
        """,
        """
        warning: linear-collapse: a linear layer (`v`) follows a linear layer (`w`)
          model.py:2   y = (x @ w) @ v
                           ^^^^^^^^^^^
          why: together they are one linear map, which one layer can be
          fix: put a nonlinearity between them, such as gc.relu, or leave one out
        """,
    ),
    "linear-collapse of a bottleneck": (
        """
        x, w, v = gc.input("x", ("N", 8), "float32"), gc.param("w", (8, 2)), gc.param("v", (2, 8))
        y = (x @ w) @ v
        found = gc.lint(gc.mean(y * y))
        """,
        """
        note: linear-collapse: a linear layer (`v`) follows a linear layer (`w`)
          model.py:2   y = (x @ w) @ v
                           ^^^^^^^^^^^
          why: together they are one linear map of rank 2 at most: that is a use of its own
          fix: put a nonlinearity between them, such as gc.relu, or leave one out
        """,
    ),
    "first-loss": (
        """
        x, t = gc.input("x", ("N", 2)), gc.input("t", ("N",), "int64")
        w = gc.param("w", init=[[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]])
        loss = nn.losses.softmax_cross_entropy(t, x @ w)
        found = gc.lint(loss, at={x: [[1.0, 0.0]], t: [2]})
        """,
        """
        warning: first-loss: the cross-entropy is 50 at this point, and guessing among 3 classes costs log 3 = 1.1
          model.py:3   loss = nn.losses.softmax_cross_entropy(t, x @ w)
                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          why: an untrained network should not be surer than a guess: its first outputs are too far apart
          fix: make the initial weights of the last layer smaller, or scale the inputs
        """,
    ),
    "kink-at-point": (
        """
        x = gc.input("x", 4)
        loss = gc.sum(gc.relu(x))
        found = gc.lint(loss, at={x: [1.0, 0.0, 2.0, 0.0]})
        """,
        """
        note: kink-at-point: relu has no derivative at [1], and 1 more
          model.py:2   loss = gc.sum(gc.relu(x))
                                     ^^^^^^^^^^
          why: its operand is 0 there; graphc's convention: relu'(0) = 0
          fix: move the point a little, or mean the convention
        """,
    ),
    "unused-input": (
        """
        x, t = gc.inputs("x t")
        found = gc.lint(gc.tanh(x), x, inputs=[x, t])
        """,
        """
        warning: unused-input: the input `t` is not used
          model.py:1   x, t = gc.inputs("x t")
                              ^^^^^^^^^^^^^^^^
          why: the loss does not depend on it
          fix: leave it out, or use it
        """,
    ),
}
