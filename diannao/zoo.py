"""Networks that people know, with random weights: the topologies come with the package ``onnx``."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
from onnx import numpy_helper

from hw.errors import UserError

__all__ = ["NETWORKS", "image", "network", "topology"]

NETWORKS = {
    "alexnet": "bvlc_alexnet",
    "zfnet": "zfnet512",
    "vgg19": "vgg19",
    "squeezenet": "squeezenet",
    "googlenet": "inception_v1",
    "inception-v2": "inception_v2",
    "resnet50": "resnet50",
    "shufflenet": "shufflenet",
    "densenet121": "densenet121",
}
"""Names, and those of the files."""

_FILES = Path(onnx.backend.test.__file__).parent / "data" / "light"


def topology(name: str) -> Path:
    """The file of a network, without weights.

    Raises
    ------
    UserError
        If there is no network of that name.
    """
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    return _FILES / f"light_{NETWORKS[name]}.onnx"


def network(name: str, seed: int = 1) -> onnx.ModelProto:
    """A network with random weights, such that signals neither vanish nor explode.

    The files compute their weights with ConstantOfShape, all of them alike; here they are normally
    distributed with the variance that keeps that of the signals behind a ReLU.

    Raises
    ------
    UserError
        If there is no network of that name.
    """
    rng = np.random.default_rng(seed)
    model = onnx.load(topology(name))
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    readers = defaultdict(list)
    for node in model.graph.node:
        for index, tensor in enumerate(node.input):
            readers[tensor].append((node.op_type, index))
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(shapes[node.input[0]])
        if readers[node.output[0]][0] in (("BatchNormalization", 1), ("BatchNormalization", 4)):
            value = rng.uniform(0.7, 1.3, shape).astype(np.float32)
        else:
            value = rng.standard_normal(shape, dtype=np.float32)
            value *= np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.name = name
    model.ir_version = 8
    return model


def image(model: onnx.ModelProto, seed: int = 2) -> dict[str, np.ndarray]:
    """A random input for ``model``: normally distributed pixels, one image."""
    constant = {tensor.name for tensor in model.graph.initializer}
    (given,) = (value for value in model.graph.input if value.name not in constant)
    _, *shape = (dim.dim_value for dim in given.type.tensor_type.shape.dim)
    rng = np.random.default_rng(seed)
    return {given.name: rng.standard_normal((1, *shape), dtype=np.float32)}
