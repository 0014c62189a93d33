"""The network and the search for the peak as ONNX graphs of normal operators.

`exemplar.onnx` embeds crops of 127 px, or of any other size. `search.onnx` embeds crops of
255 px, slides the exemplar's features over them and finds the peak as
`tracking.peaks.find_peak` does. The graphs are built from the folded parameters, so nothing
depends on how JAX lowers a convolution.

Images are NCHW, which is what ONNX convolutions take. The batch size is free.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from siamfc_jax.config import TrackerConfig
from siamfc_jax.geometry import SEARCH_SIZE
from siamfc_jax.network import model
from siamfc_jax.tracking import peaks

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17: older readers refuse a newer one
EXEMPLAR_CELLS, SEARCH_CELLS = 6, 22  # sides of the features of 127 and 255 px
RESPONSE_CELLS = SEARCH_CELLS - EXEMPLAR_CELLS + 1


class _Graph:
    """Nodes and constants in the making; each value goes by its name."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, values, dtype=np.float32):
        """Stores an array; returns its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, operator, inputs, output, **attributes):
        """Adds an operator; returns the name of its output."""
        self.nodes.append(
            helper.make_node(operator, inputs.split(), [output], name=output, **attributes)
        )
        return output

    def reshape(self, name, output, *shape):
        """Adds a Reshape; 0 keeps a dimension and -1 is what is left."""
        self.constant(f"{output}_shape", shape, np.int64)
        return self.node("Reshape", f"{name} {output}_shape", output)

    def finish(self, name, inputs, outputs):
        """Returns the checked model; inputs and outputs are name -> shape."""
        taken, given = (
            [
                helper.make_tensor_value_info(value, TensorProto.FLOAT, shape)
                for value, shape in values.items()
            ]
            for values in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, name, taken, given, self.constants)
        built = helper.make_model(
            graph,
            producer_name="siamfc_jax",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(built, full_check=True)
        return built


def build_exemplar(params) -> onnx.ModelProto:
    """Builds the graph from crops to features.

    The size of the crops is free, so a program whose ONNX reader lacks an operator of
    `build_search` can embed its searches here and find the peak itself.

    Args:
      params: folded network parameters, from `tracker.prepare`.

    Returns:
      The graph with input `crops` f32[N, 3, H, W], RGB 0..255, and output `features`
      f32[N, C, h, w]: 6 x 6 for 127 px, 22 x 22 for 255 px.
    """
    graph = _Graph()
    depth = _add_network(graph, params)
    return graph.finish(
        "exemplar",
        {"crops": ["N", 3, "H", "W"]},
        {"features": ["N", depth, "h", "w"]},
    )


def build_search(params, *, config: TrackerConfig) -> onnx.ModelProto:
    """Builds the graph from crops of 255 px and an exemplar to the peak of each crop.

    Args:
      params: folded network parameters, from `tracker.prepare`.
      config: window influence; the scale penalty is left to the caller, who knows which
        crops show one object at several scales.

    Returns:
      The graph with inputs `crops` f32[N, 3, 255, 255], RGB 0..255, and `exemplar`
      f32[N, C, 6, 6], or f32[1, C, 6, 6] for all crops. Outputs: `logits` f32[N, 17, 17];
      `maximum` f32[N] of the up-sampled logits, which chooses the scale; `offset` f32[N, 2]
      `(x, y)` in cells from the centre and `score` f32[N], of the peak under the window.
    """
    graph = _Graph()
    depth = _add_network(graph, params)
    _add_correlation(graph, depth, params["params"]["adjust"])
    _add_peak(graph, config.window_influence)
    return graph.finish(
        "search",
        {
            "crops": ["N", 3, SEARCH_SIZE, SEARCH_SIZE],
            "exemplar": ["M", depth, EXEMPLAR_CELLS, EXEMPLAR_CELLS],
        },
        {
            "logits": ["B", RESPONSE_CELLS, RESPONSE_CELLS],
            "maximum": ["B"],
            "offset": ["B", 2],
            "score": ["B"],
        },
    )


def _add_network(graph, params):
    """Adds `network.model.Embedding` from `crops` to `features`; returns its channels."""
    value = "crops"
    for layer in range(1, 6):
        kernel, bias = (np.asarray(params["params"][f"conv{layer}"][k]) for k in ("kernel", "bias"))
        graph.constant(f"kernel{layer}", kernel.transpose(3, 2, 0, 1))  # HWIO -> OIHW
        graph.constant(f"bias{layer}", bias)
        value = graph.node(
            "Conv",
            f"{value} kernel{layer} bias{layer}",
            "features" if layer == 5 else f"conv{layer}",
            kernel_shape=kernel.shape[:2],
            strides=[model.STRIDES[layer - 1]] * 2,
            group=model.GROUPS[layer - 1],
        )
        if layer <= 2:
            value = graph.node(
                "MaxPool", value, f"pool{layer}", kernel_shape=[3, 3], strides=[2, 2]
            )
        if layer < 5:
            value = graph.node("Relu", value, f"relu{layer}")
    return len(bias)


def _add_correlation(graph, depth, adjust):
    """Adds `cross_correlate` and `adjust`, from `features` and `exemplar` to `logits`.

    A Conv whose kernel is an input takes one exemplar for all crops, and not every reader has
    it. So every exemplar cell meets every search cell in one MatMul, and the products of one
    shift, which lie at fixed places, are summed.
    """
    cells, exemplar_cells = SEARCH_CELLS**2, EXEMPLAR_CELLS**2
    graph.reshape("features", "search_cells", 0, depth, cells)  # [N, C, 484]
    graph.reshape("exemplar", "exemplar_columns", 0, depth, exemplar_cells)  # [M, C, 36]
    graph.node("Transpose", "exemplar_columns", "exemplar_cells", perm=[0, 2, 1])
    graph.node("MatMul", "exemplar_cells search_cells", "products")  # [N, 36, 484]
    graph.reshape("products", "flat_products", -1, exemplar_cells * cells)
    row, column = np.divmod(np.arange(exemplar_cells), EXEMPLAR_CELLS)
    shifts = np.arange(RESPONSE_CELLS)
    shifts = np.add.outer(shifts * SEARCH_CELLS, shifts).ravel()
    meets = np.arange(exemplar_cells) * cells + row * SEARCH_CELLS + column
    graph.constant("meets", np.add.outer(meets, shifts), np.int64)  # [36, 289]
    graph.node("Gather", "flat_products meets", "shifted_products", axis=1)  # [N, 36, 289]
    graph.constant("over_cells", [1], np.int64)
    graph.node("ReduceSum", "shifted_products over_cells", "flat_response", keepdims=0)
    graph.reshape("flat_response", "response", -1, RESPONSE_CELLS, RESPONSE_CELLS)
    graph.constant("gain", adjust["gain"])
    graph.constant("adjust_bias", adjust["bias"])
    graph.node("Mul", "response gain", "scaled_response")
    graph.node("Add", "scaled_response adjust_bias", "logits")


def _add_peak(graph, window_influence):
    """Adds `tracking.peaks.find_peak` for each crop, from `logits` to the other outputs."""
    matrix = peaks.cubic_matrix(RESPONSE_CELLS)  # [257, 17]
    side = len(matrix)
    graph.constant("upsample", matrix)
    graph.constant("upsample_transposed", matrix.T)
    graph.node("MatMul", "upsample logits", "tall")  # [N, 257, 17]
    graph.node("MatMul", "tall upsample_transposed", "square")  # [N, 257, 257]
    graph.reshape("square", "fine", -1, side * side)
    graph.node("ReduceMax", "fine", "maximum", axes=[1], keepdims=0)
    graph.node("ReduceMin", "fine", "minimum", axes=[1], keepdims=1)
    graph.node("Sub", "fine minimum", "above")
    graph.constant("over_samples", [1], np.int64)
    graph.node("ReduceSum", "above over_samples", "sum", keepdims=1)
    graph.constant("tiny", np.finfo(np.float32).tiny)
    graph.node("Max", "sum tiny", "divisor")
    graph.node("Div", "above divisor", "surface")
    graph.constant("surface_weight", 1 - window_influence)
    graph.node("Mul", "surface surface_weight", "weighted")
    hann = np.hanning(side)
    window = np.outer(hann, hann).reshape(1, -1) / hann.sum() ** 2
    graph.constant("window", window_influence * window.astype(np.float32))
    graph.node("Add", "weighted window", "windowed")
    graph.node("ArgMax", "windowed", "place", axis=1, keepdims=1)  # [N, 1]
    graph.node("GatherElements", "fine place", "score_column", axis=1)
    graph.reshape("score_column", "score", -1)
    graph.constant("side", side, np.int64)
    graph.node("Div", "place side", "row")
    graph.node("Mod", "place side", "column")
    graph.node("Concat", "column row", "samples", axis=1)
    graph.node("Cast", "samples", "float_samples", to=TensorProto.FLOAT)
    graph.constant("step", 1 / peaks.UPSAMPLING)
    graph.node("Mul", "float_samples step", "cells")
    graph.constant("middle", (RESPONSE_CELLS - 1) / 2)
    graph.node("Sub", "cells middle", "offset")
