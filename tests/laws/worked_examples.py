"""Worked numeric examples of five lecture decks, as literals: the figures of `test_worked_examples.py`.

Each example names its source: the deck, and the lines of its text.

| deck | title |
|------|-------------------------------------------------------------------------------------|
| 000  | Introduction to Deep Learning (S. Nouri, 2019) |
| 001  | Deep Learning Tutorial (courtesy of Hung-yi Lee) |
| 002  | Computer Vision: Deep Learning |
| 003  | Deep Learning for Computer Vision (MIT 6.S191, A. Soleimany) |
| 004  | Redes Convolucionais (F. N. B. Gois, Universidade Federal do Ceará) |

STATED: input and output are in the deck.  COMPUTED: the input is, the output was computed from it in float64.
RECONSTRUCTED: part of the input was in a lost figure, and is restored so that the stated output follows.
FORMULA: the deck gives a formula, the numbers are made up.  `stated_*` are printed digits, within
`tol_stated`; the others hold within `tol` (absolute) or `rtol` (relative).

>>> len(W), W["W03"]["f"]
(32, -12.0)
"""

from __future__ import annotations

from typing import Any

W: dict[str, dict[str, Any]] = {}

# fmt: off

# W01: Perceptron yhat = g(1 + 3 x1 - 2 x2), g = sigmoid, at x = (-1, 2)
# Source 000:319-351. STATED (value); gradients and the other points COMPUTED.
W["W01"] = {
    "w0": 1.0, "w": [3.0, -2.0], "x": [-1.0, 2.0], "z": -6.0, "stated_y": 0.002, "tol_stated": 0.0005,
    "y": 0.00247262315663477, "dz": 0.00246650929136005, "dx": [0.00739952787408014, -0.0049330185827201],
    "dw": [-0.00246650929136005, 0.0049330185827201], "dw0": 0.00246650929136005,
    "points": [
        [0.0, 0.0, 1.0, 0.731058578630005], [0.0, 0.5, 0.0, 0.5], [1.0, 2.0, 0.0, 0.5],
        [1.0, 0.0, 4.0, 0.982013790037908], [-1.0, 2.0, -6.0, 0.00247262315663477],
    ],
    "tol": 1e-12,
}

# W03: f(x, y, z) = (x + y) z at x = -2, y = 5, z = -4
# Source 001:2199-2507. inputs, structure and chain-rule form STATED; the numbers on the edges were in
# figures, COMPUTED here.
W["W03"] = {
    "x": -2.0, "y": 5.0, "z": -4.0, "q": 3.0, "f": -12.0, "dfdf": 1.0, "dfdz": 3.0, "dfdq": -4.0,
    "dqdx": 1.0, "dqdy": 1.0, "dfdx": -4.0, "dfdy": -4.0,
    "edges": {"x": (-4.0, 1.0, -4.0), "y": (-4.0, 1.0, -4.0), "z": (1.0, 3.0, 3.0), "q": (1.0, -4.0, -4.0)},
    "tol": 0.0,
}

# W05: sigma(W x + b)
# Source 001:1522. STATED.
W["W05"] = {
    "W": [[1.0, -2.0], [-1.0, 1.0]], "x": [1.0, -1.0], "b": [1.0, 0.0], "stated_z": [4.0, -2.0],
    "stated_y": [0.98, 0.12], "tol_stated": 0.005, "y": [0.982013790037908, 0.119202922022118],
    "tol": 1e-12,
}

# W06: Three-layer sigmoid network f([1,-1]) = [0.62, 0.83], f([0,0]) = [0.51, 0.85]
# Source 001:1499-1512. outputs STATED; layer 1 = W05 STATED; layers 2 and 3 RECONSTRUCTED.
W["W06"] = {
    "W1": [[1.0, -2.0], [-1.0, 1.0]], "b1": [1.0, 0.0], "W2": [[2.0, -1.0], [-2.0, -1.0]],
    "b2": [0.0, 0.0], "W3": [[3.0, -1.0], [-1.0, 4.0]], "b3": [-2.0, 2.0], "x_a": [1.0, -1.0],
    "stated_y_a": [0.62, 0.83], "h1_a": [0.982013790037908, 0.119202922022118],
    "h2_a": [0.863518312678182, 0.110737443838225], "y_a": [0.617704777755341, 0.82912398415744],
    "x_b": [0.0, 0.0], "stated_y_b": [0.51, 0.85], "h1_b": [0.731058578630005, 0.5],
    "h2_b": [0.723545494977302, 0.123238105184825], "y_b": [0.511847376987067, 0.854383900987714],
    "tol_stated": 0.005, "tol": 1e-11,
}

# W08: Softmax layer
# Source 001:1538-1565. properties STATED (1 > y_i > 0, sum = 1); numbers LOST.
W["W08"] = {
    "z": [3.0, 1.0, -3.0], "exp": [20.0855369231877, 2.71828182845905, 0.0497870683678639],
    "y": [0.878878242732151, 0.118943235910652, 0.00217852135719702], "orig_y": [0.88, 0.12, 0.0],
    "tol_orig": 0.005, "tol": 1e-11,
}

# W09: Linear classifier on a 2x2 image, 3 classes cat/dog/ship
# Source 001:417-426 (titles only), 001:2726-2775 (pixels 56, 231, 24, 2). x STATED; W, b and scores LOST in
# figures, RECONSTRUCTED from the public original.
W["W09"] = {
    "image": [[56.0, 231.0], [24.0, 2.0]], "x": [56.0, 231.0, 24.0, 2.0],
    "W": [[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]], "b": [1.1, 3.2, -1.2],
    "Wx": [-97.9, 434.7, 61.95], "scores": [-96.8, 437.9, 60.75], "orig_scores": [-96.8, 437.9, 61.95],
    "tol": 1e-09,
}

# W10: Bias trick: [W b][x; 1] = W x + b
# Source 001:435-439. FORMULA on W09 data.
W["W10"] = {
    "Wb": [[0.2, -0.5, 0.1, 2.0, 1.1], [1.5, 1.3, 2.1, 0.0, 3.2], [0.0, 0.25, 0.2, -0.3, -1.2]],
    "x1": [56.0, 231.0, 24.0, 2.0, 1.0], "scores": [-96.8, 437.9, 60.75], "tol": 1e-09,
}

# W11: Predictions are linear: f(c x, W) = c f(x, W), bias ignored
# Source 001:445-457. FORMULA on W09 data.
W["W11"] = {
    "c": 0.5, "x": [56.0, 231.0, 24.0, 2.0],
    "W": [[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]],
    "f_x": [-97.9, 434.7, 61.95], "f_cx": [-48.95, 217.35, 30.975], "tol": 1e-09,
}

# W12: Shape and parameter arithmetic of the linear, 2-layer and 3-layer classifiers
# Source 001:291-412, 001:1726-1756. shapes STATED; parameter counts COMPUTED.
W["W12"] = {
    "D": 3072, "C": 10, "W_params": 30720, "params_with_bias": 30730, "H": 100,
    "two_layer_no_bias": 308200, "two_layer_bias": 308310, "tol": 0.0,
}

# W13: No activation collapses: s = W2 W1 x = W3 x
# Source 001:1905-1928. FORMULA (numbers invented).
W["W13"] = {
    "W1": [[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]], "W2": [[2.0, 0.0, -1.0], [1.0, 1.0, 1.0]],
    "x": [1.0, -1.0], "W3": [[-1.0, 3.0], [4.0, 2.0]], "s": [-4.0, 2.0], "tol": 1e-12,
}

# W14: Handwriting digits input/output sizes
# Source 001:1443-1461. STATED.
W["W14"] = {
    "side": 16, "inputs": 256, "outputs": 10, "tol": 0.0,
}

# W15: Softmax cross-entropy, scores cat 3.2 / car 5.1 / frog -1.7, correct class cat
# Source 001:899-1057. STATED; gradient COMPUTED.
W["W15"] = {
    "scores": [3.2, 5.1, -1.7], "label": 0, "stated_exp": [24.5, 164.0, 0.18],
    "tol_stated_exp": [0.05, 0.5, 0.005], "exp": [24.5325301971094, 164.021907299902, 0.182683524052735],
    "stated_p": [0.13, 0.87, 0.0], "stated_loss": 2.04, "tol_stated": 0.005,
    "p": [0.129982539017173, 0.869049535208266, 0.000967925774561044], "loss": 2.04035515280017,
    "grad": [-0.870017460982827, 0.869049535208266, 0.000967925774561044], "tol": 1e-11,
}

# W17: Range and initial value of the softmax loss
# Source 001:1191-1249. STATED.
W["W17"] = {
    "C": 10, "stated": 2.3, "tol_stated": 0.05, "loss": 2.30258509299405,
    "big_margin_scores": [800.0, 0.0], "label": 0, "big_margin_loss": 0.0, "wrong_label_loss": 800.0,
    "tol": 1e-12,
}

# W23: Delta recursion on the W06 network, target [1, 0], E = 1/2 sum (z - y)^2, input [1, -1]
# Source 002:313-325. FORMULA on W06 data (target invented).
W["W23"] = {
    "target": [1.0, 0.0], "E": 0.4167981090281, "delta1": [-0.00356516285370642, -0.000986695763572437],
    "delta2": [-0.0457628917668241, 0.0551605683942144],
    "delta3": [-0.0902773290118988, 0.11746813288383],
    "dW1": [[-0.00356516285370642, 0.00356516285370642], [-0.000986695763572437, 0.000986695763572437]],
    "dW2": [[-0.0449397907870336, -0.00545507041878734], [0.0541684388294477, 0.00657530093299122]],
    "dW3": [[-0.0779561268214479, -0.00999708065132007], [0.101435883901301, 0.0130081207680042]],
    "tol": 1e-11,
}

# W24: "Neural net in <20 lines": 2-layer sigmoid network, sum-of-squares loss, SGD lr 1e-4
# Source 001:2014-2051. program STATED (no output printed); traces COMPUTED.
W["W24"] = {
    "seed": 0, "sizes": [64, 1000, 100, 10], "lr": 0.0001,
    "first": {
        "x00": 1.76405234596766, "y00": -1.47166838199216, "w1_00": 1.13913139284047,
        "w2_00": -0.137414547056024,
    },
    "loss": {
        0: 24635.8934986282, 1: 17744.7521414634, 2: 14607.6200340296, 5: 11120.4972079759,
        10: 8926.01022369324, 50: 4256.83046358306, 100: 2383.15557546219, 500: 210.984308246757,
        1000: 41.0460792052915, 9999: 0.000103058686496062,
    },
    "norm_dw1": {
        0: 4837.21563257965, 1: 3285.94901090813, 2: 2690.49586204428, 5: 1844.11669365953,
        10: 1242.64510289782, 50: 320.736663730631, 100: 219.545984075871, 500: 30.8279879852994,
        1000: 11.2587098123356, 9999: 0.0144336498494749,
    },
    "norm_dw2": {
        0: 7794.153088516, 1: 5091.43598092645, 2: 3490.58916309865, 5: 1599.76923167202,
        10: 1110.8537731323, 50: 665.622299005698, 100: 449.29622618557, 500: 87.8968102169487,
        1000: 31.2245513035449, 9999: 0.0309872101495682,
    },
    "rtol": 1e-06, "rtol_t9999": 0.001,
    "tiny": {
        "seed": 0, "sizes": [4, 5, 3, 2], "lr": 0.01,
        "loss": [28.1194266380293, 26.7694164763201, 25.5541192101032, 24.4577726316381, 23.4669673792226],
        "dw1_00_step0": 1.50342260312268, "dw2_00_step0": 9.83439009720214, "rtol": 1e-10,
    },
}

# W32: 5x5 image * 3x3 filter -> 3x3 feature map
# Source 000:1305-1311 (image), 003:517-578 (image, filter, partial maps). STATED except the last cell,
# which is COMPUTED (4).
W["W32"] = {
    "image": [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]],
    "filter": [[1, 0, 1], [0, 1, 0], [1, 0, 1]], "stated_map": [[4, 3, 4], [2, 4, 3], [2, 3, None]],
    "map": [[4, 3, 4], [2, 4, 3], [2, 3, 4]], "tol": 0.0,
}

# W34: 5x5 input * kernel [[0,1,2],[2,2,0],[0,1,2]] -> 3x3
# Source 004:560-589. STATED.
W["W34"] = {
    "input": [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]],
    "kernel": [[0, 1, 2], [2, 2, 0], [0, 1, 2]], "stated_out": [[12, 12, 17], [10, 17, 19], [9, 6, 14]],
    "flipped": [[18, 20, 19], [10, 9, 17], [11, 8, 14]], "tol": 0.0,
}

# W35: Convolution arithmetic captions, unit stride
# Source 004:594-606. inputs STATED; outputs COMPUTED (o = i - k + 2p + 1).
W["W35"] = {
    "rows": [[4, 3, 0, 2], [5, 4, 3, 8], [5, 3, 2, 7]], "orig_row": [5, 4, 2, 6], "tol": 0.0,
}

# W36: Output-size formula
# Source 001:3169-3430. STATED (7/3 -> 5; 7/3 stride 2 -> 3); padding case COMPUTED.
W["W36"] = {
    "rows": [
        [7, 3, 0, 1, 5], [7, 3, 1, 1, 7], [7, 3, 0, 2, 3], [7, 3, 1, 2, 4], [32, 5, 0, 1, 28],
        [32, 5, 2, 1, 32], [28, 5, 2, 1, 28], [14, 5, 2, 1, 14],
    ],
    "padded_7_1": [9, 9], "tol": 0.0,
}

# W37: Convolution example: 3x32x32, ten 5x5 filters, stride 1, pad 2
# Source 001:3432-3511. STATED.
W["W37"] = {
    "input": (3, 32, 32), "filters": 10, "kernel": 5, "stride": 1, "pad": 2, "stated_out": (10, 32, 32),
    "stated_params": 760, "params_per_filter": 76, "outputs": 10240, "dot": 75, "stated_macs": 768000,
    "tol": 0.0,
}

# W38: 3x32x32 image with 3x5x5 filters, no padding
# Source 001:2858-3018, 001:3110-3117. sizes STATED; params and MACs COMPUTED.
W["W38"] = {
    "dot": 75, "map": (1, 28, 28), "out6": (6, 28, 28), "weight6": (6, 3, 5, 5), "params6": 456,
    "macs6": 352800, "flat": 3072, "tol": 0.0,
}

# W39: 1x1 convolution
# Source 001:3513-3521, 001:3579. LOST (figure); K=1, P=0, S=1 STATED.
W["W39"] = {
    "input": (64, 56, 56), "filters": 32, "out": (32, 56, 56), "params": 2080, "macs": 6422528,
    "tol": 0.0,
}

# W40: Common convolution settings
# Source 001:3566-3582. settings STATED; sizes COMPUTED.
W["W40"] = {
    "rows": [[3, 1, 1, 32, 33], [5, 2, 1, 32, 33], [1, 0, 1, 32, 33], [3, 1, 2, 16, 17]],
    "same_pad": {3: 1, 5: 2, 7: 3, 1: 0}, "tol": 0.0,
}

# W41: Receptive field 1 + L (K - 1)
# Source 001:3318-3366. formula STATED; table COMPUTED.
W["W41"] = {
    "K3": [3, 5, 7, 9, 11], "K5": [5, 9, 13, 17, 21], "lenet": [5, 6, 14, 16], "tol": 0.0,
}

# W42: Neuron (p, q) with a 4x4 filter: sum_i sum_j w_ij x_{i+p,j+q} + b, shift 2
# Source 000:1440-1446, 003:644-650. FORMULA (numbers invented).
W["W42"] = {
    "x_rule": "arange(36).reshape(6,6)",
    "filter": [[2.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]],
    "bias": 1.0, "stride": 2, "out": [[169.0, 203.0], [373.0, 407.0]], "tol": 0.0,
}

# W45: The 9x9 X image and the three filters
# Source 000:1255-1294, 003:417-462, 004:682-886, 004:1184-1309. STATED exactly once (004:806-814); all
# other copies garbled.
W["W45"] = {
    "X": [
        [-1, -1, -1, -1, -1, -1, -1, -1, -1], [-1, 1, -1, -1, -1, -1, -1, 1, -1],
        [-1, -1, 1, -1, -1, -1, 1, -1, -1], [-1, -1, -1, 1, -1, 1, -1, -1, -1],
        [-1, -1, -1, -1, 1, -1, -1, -1, -1], [-1, -1, -1, 1, -1, 1, -1, -1, -1],
        [-1, -1, 1, -1, -1, -1, 1, -1, -1], [-1, 1, -1, -1, -1, -1, -1, 1, -1],
        [-1, -1, -1, -1, -1, -1, -1, -1, -1],
    ],
    "F1": [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], "F2": [[1, -1, 1], [-1, 1, -1], [1, -1, 1]],
    "F3": [[-1, -1, 1], [-1, 1, -1], [1, -1, -1]], "tol": 0.0,
}

# W46: Filter matching, divide by number of pixels: F1 at window (1,1) = 1, at window (3,3) = .55
# Source 004:716-786. STATED, fractions garbled.
W["W46"] = {
    "prod_11": [[1, 1, 1], [1, 1, 1], [1, 1, 1]], "stated_11": 1.0,
    "prod_33": [[1, 1, -1], [1, 1, 1], [-1, 1, 1]], "stated_33": 0.55, "exact_33": 0.555555555555556,
    "dmap33_dF1_x9": [[1, -1, 1], [-1, 1, -1], [1, -1, 1]], "tol_stated": 0.01, "tol": 1e-12,
}

# W47: 7x7 filter map of F1 on X
# Source 004:818-824, 004:844-850. STATED.
W["W47"] = {
    "map9": [
        [7, -1, 1, 3, 5, -1, 3], [-1, 9, -1, 3, -1, 1, -1], [1, -1, 9, -3, 1, -1, 5],
        [3, 3, -3, 5, -3, 3, 3], [5, -1, 1, -3, 9, -1, 1], [-1, 1, -1, 3, -1, 9, -1],
        [3, -1, 5, 3, 1, -1, 7],
    ],
    "stated_map": [
        [0.77, -0.11, 0.11, 0.33, 0.55, -0.11, 0.33], [-0.11, 1.0, -0.11, 0.33, -0.11, 0.11, -0.11],
        [0.11, -0.11, 1.0, -0.33, 0.11, -0.11, 0.55], [0.33, 0.33, -0.33, 0.55, -0.33, 0.33, 0.33],
        [0.55, -0.11, 0.11, -0.33, 1.0, -0.11, 0.11], [-0.11, 0.11, -0.11, 0.33, -0.11, 1.0, -0.11],
        [0.33, -0.11, 0.55, 0.33, 0.11, -0.11, 0.77],
    ],
    "tol_stated": 0.01,
}

# W48: 7x7 filter map of F2 on X
# Source 004:870-876. STATED.
W["W48"] = {
    "map9": [
        [3, -5, 1, -1, 1, -5, 3], [-5, 5, -5, 3, -5, 5, -5], [1, -5, 5, -7, 5, -5, 1],
        [-1, 3, -7, 9, -7, 3, -1], [1, -5, 5, -7, 5, -5, 1], [-5, 5, -5, 3, -5, 5, -5],
        [3, -5, 1, -1, 1, -5, 3],
    ],
    "stated_map": [
        [0.33, -0.55, 0.11, -0.11, 0.11, -0.55, 0.33], [-0.55, 0.55, -0.55, 0.33, -0.55, 0.55, -0.55],
        [0.11, -0.55, 0.55, -0.77, 0.55, -0.55, 0.11], [-0.11, 0.33, -0.77, 1.0, -0.77, 0.33, -0.11],
        [0.11, -0.55, 0.55, -0.77, 0.55, -0.55, 0.11], [-0.55, 0.55, -0.55, 0.33, -0.55, 0.55, -0.55],
        [0.33, -0.55, 0.11, -0.11, 0.11, -0.55, 0.33],
    ],
    "tol_stated": 0.01,
}

# W49: 7x7 filter map of F3 on X
# Source 004:897-903. STATED.
W["W49"] = {
    "map9": [
        [3, -1, 5, 3, 1, -1, 7], [-1, 1, -1, 3, -1, 9, -1], [5, -1, 1, -3, 9, -1, 1],
        [3, 3, -3, 5, -3, 3, 3], [1, -1, 9, -3, 1, -1, 5], [-1, 9, -1, 3, -1, 1, -1],
        [7, -1, 1, 3, 5, -1, 3],
    ],
    "stated_map": [
        [0.33, -0.11, 0.55, 0.33, 0.11, -0.11, 0.77], [-0.11, 0.11, -0.11, 0.33, -0.11, 1.0, -0.11],
        [0.55, -0.11, 0.11, -0.33, 1.0, -0.11, 0.11], [0.33, 0.33, -0.33, 0.55, -0.33, 0.33, 0.33],
        [0.11, -0.11, 1.0, -0.33, 0.11, -0.11, 0.55], [-0.11, 1.0, -0.11, 0.33, -0.11, 0.11, -0.11],
        [0.77, -0.11, 0.11, 0.33, 0.55, -0.11, 0.33],
    ],
    "tol_stated": 0.01,
}

# W52: LeNet-5* layer table
# Source 001:3706-3871. layer, output size, weight size STATED; parameters (with bias) and multiply-adds
# COMPUTED.
W["W52"] = {
    "rows": [
        ["Input", [1, 28, 28], None, 0, 0],
        ["Conv(20,K5,P2,S1)", [20, 28, 28], [20, 1, 5, 5], 520, 392000],
        ["ReLU", [20, 28, 28], None, 0, 0], ["MaxPool(K2,S2)", [20, 14, 14], None, 0, 0],
        ["Conv(50,K5,P2,S1)", [50, 14, 14], [50, 20, 5, 5], 25050, 4900000],
        ["ReLU", [50, 14, 14], None, 0, 0], ["MaxPool(K2,S2)", [50, 7, 7], None, 0, 0],
        ["Flatten", [2450], None, 0, 0], ["Linear(2450->500)", [500], [2450, 500], 1225500, 1225000],
        ["ReLU", [500], None, 0, 0], ["Linear(500->10)", [10], [500, 10], 5010, 5000],
    ],
    "total_params": 1256080, "total_macs": 6522000, "tol": 0.0,
}

# W54: Max pooling 2x2, stride 2
# Source 001:3619-3637, 000:1496-1503. STATED; gradient and average COMPUTED.
W["W54"] = {
    "x": [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], "stated_max": [[6, 8], [3, 4]],
    "avg": [[3.25, 5.25], [2.0, 2.0]], "mask": [[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]],
    "tol": 0.0,
}
# fmt: on
