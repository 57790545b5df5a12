"""The operator ``diannao.LocallyConnected``: ONNX has none for locally connected convolutions.

    Y = LocallyConnected(X, W, B)      domain "diannao", version 1

X (N, C, H, W) and Y (N, O, Ho, Wo) are as for ONNX's Conv, of which the attributes ``strides`` and
``pads`` are taken; ``W`` (O, C, Kh, Kw, Ho, Wo) has a kernel for every output position, ``B``
(O, Ho, Wo) a bias for every output.

It is an ONNX function, written in ONNX's own operators. A model that contains it (see
``with_function``) runs in ONNX Runtime as well; this front end knows it without.
"""

import onnx
from onnx import helper
from onnx.parser import parse_function

__all__ = ["DOMAIN", "NAME", "as_convolutions", "with_function"]

DOMAIN = "diannao"
NAME = "LocallyConnected"

# A convolution with one output map per tap takes the windows apart; one image is one of its planes.
_BODY = f"""
<domain: "{DOMAIN}", opset_import: ["" : OPSET]>
{NAME} <strides: ints = [1, 1], pads: ints = [0, 0, 0, 0]> (X, W, B) => (Y)
{{
  at0 = Constant <value_ints = [0]> ()
  at1 = Constant <value_ints = [1]> ()
  at2 = Constant <value_ints = [2]> ()
  at4 = Constant <value_ints = [4]> ()
  at6 = Constant <value_ints = [6]> ()
  any = Constant <value_ints = [-1]> ()
  weight_shape = Shape (W)
  outputs = Slice (weight_shape, at0, at1)
  channels = Slice (weight_shape, at1, at2)
  kernel = Slice (weight_shape, at2, at4)
  extent = Slice (weight_shape, at4, at6)
  input_shape = Shape (X)
  size = Slice (input_shape, at2, at4)
  plane_shape = Concat <axis = 0> (any, at1, size)
  planes = Reshape (X, plane_shape)
  taps = ReduceProd <keepdims = 1> (kernel)
  square_shape = Concat <axis = 0> (taps, taps)
  square = ConstantOfShape (square_shape)
  identity = EyeLike (square)
  selector_shape = Concat <axis = 0> (taps, at1, kernel)
  selector = Reshape (identity, selector_shape)
  apart = Conv <strides: ints = @strides, pads: ints = @pads> (planes, selector)
  all_taps = Mul (channels, taps)
  window_shape = Concat <axis = 0> (any, at1, all_taps, extent)
  windows = Reshape (apart, window_shape)
  synapse_shape = Concat <axis = 0> (outputs, all_taps, extent)
  synapses = Reshape (W, synapse_shape)
  products = Mul (windows, synapses)
  sums = ReduceSum <keepdims = 0> (products, at2)
  Y = Add (sums, B)
}}
"""


def _is_local(node: onnx.NodeProto) -> bool:
    return (node.domain, node.op_type) == (DOMAIN, NAME)


def as_convolutions(graph: onnx.GraphProto) -> None:
    """Replace the operator by Conv where the shape of its weights is among the graph's inputs.

    For shape inference, which does not see through the function: the results have the same shapes.
    """
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in graph.input
    }
    for node in graph.node:
        if _is_local(node) and len(shapes.get(node.input[1], ())) == 6:
            name = f"{node.output[0]}.kernel"
            kernel = shapes[node.input[1]][:4]
            graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, kernel))
            node.domain, node.op_type = "", "Conv"
            del node.input[1:]
            node.input.append(name)


def with_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, with the operator's function added if it needs and does not have it."""
    used = any(map(_is_local, model.graph.node))
    if used and not any((f.domain, f.name) == (DOMAIN, NAME) for f in model.functions):
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        model.functions.append(parse_function(_BODY.replace("OPSET", str(opset))))
    return model
