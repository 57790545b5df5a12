"""Train the digit-recognising CNN and write it as ONNX.

    python scripts/train_digits.py models/digits.onnx

Plain numpy, some minutes on one core; the result depends on nothing but the seed. The network:
3x3 convolution to 16 maps, 3x3 convolution to 32 maps, 2x2 maximum pooling, 3x3 convolution to 32
maps, 2x2 maximum pooling (all with ReLU), and two classifier layers.
"""

import sys

import numpy as np
import onnx
from digits import digits
from onnx import TensorProto, helper, numpy_helper

SEED = 1
EPOCHS = 30
BATCH = 32
RATE = 2e-3


class Convolution:
    """3x3 convolution with padding 1, followed by ReLU."""

    def __init__(self, rng, inputs, outputs):
        scale = np.sqrt(2 / (9 * inputs))
        self.weights = [rng.normal(0, scale, (outputs, inputs * 9)), np.zeros(outputs)]

    def forward(self, x):
        n, c, h, w = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        self.columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * 9)
        self.shape = x.shape
        y = self.columns @ self.weights[0].T + self.weights[1]
        self.output = np.maximum(y, 0)
        return self.output.reshape(n, h, w, -1).transpose(0, 3, 1, 2)

    def backward(self, gradient):
        n, c, h, w = self.shape
        gradient = gradient.transpose(0, 2, 3, 1).reshape(n * h * w, -1) * (self.output > 0)
        self.gradients = [gradient.T @ self.columns, gradient.sum(0)]
        windows = (gradient @ self.weights[0]).reshape(n, h, w, c, 3, 3)
        x = np.zeros((n, c, h + 2, w + 2))
        for ky in range(3):
            for kx in range(3):
                x[:, :, ky : ky + h, kx : kx + w] += windows[..., ky, kx].transpose(0, 3, 1, 2)
        return x[:, :, 1:-1, 1:-1]


class Pooling:
    """2x2 maximum pooling."""

    weights = ()

    def forward(self, x):
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
        y = blocks.max((3, 5))
        mask = blocks == y[:, :, :, None, :, None]
        self.share = mask / mask.sum((3, 5), keepdims=True)
        self.shape = x.shape
        return y

    def backward(self, gradient):
        return (self.share * gradient[:, :, :, None, :, None]).reshape(self.shape)


class Classifier:
    """Fully connected layer, with ReLU if it is not the last."""

    def __init__(self, rng, inputs, outputs, last):
        self.weights = [rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs)), np.zeros(outputs)]
        self.last = last

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(len(x), -1)
        y = self.x @ self.weights[0].T + self.weights[1]
        self.mask = np.ones_like(y) if self.last else y > 0
        return y * self.mask

    def backward(self, gradient):
        gradient = gradient * self.mask
        self.gradients = [gradient.T @ self.x, gradient.sum(0)]
        return (gradient @ self.weights[0]).reshape(self.shape)


def train(layers, images, labels, rng):
    """Adam on the cross entropy, with the learning rate falling to zero."""
    moments = [[(np.zeros_like(w), np.zeros_like(w)) for w in layer.weights] for layer in layers]
    steps, total = 0, EPOCHS * (len(images) // BATCH)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        losses = []
        for start in range(0, len(images) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            x = images[chosen].astype(np.float64)
            # A shift by up to one pixel makes more of few images.
            x = np.roll(x, rng.integers(-1, 2, 2), (2, 3)) if rng.random() < 0.3 else x
            for layer in layers:
                x = layer.forward(x)
            x = np.exp(x - x.max(1, keepdims=True))
            x /= x.sum(1, keepdims=True)
            losses.append(-np.log(x[np.arange(BATCH), labels[chosen]] + 1e-12).mean())
            x[np.arange(BATCH), labels[chosen]] -= 1
            gradient = x / BATCH
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
            steps += 1
            rate = RATE * (1 - steps / (total + 1))
            for layer, moment in zip(layers, moments, strict=True):
                for n, weight in enumerate(layer.weights):
                    g = layer.gradients[n]
                    first, second = moment[n]
                    first[...] = 0.9 * first + 0.1 * g
                    second[...] = 0.999 * second + 0.001 * g * g
                    step = (first / (1 - 0.9**steps)) / (
                        np.sqrt(second / (1 - 0.999**steps)) + 1e-8
                    )
                    weight -= rate * (step + 1e-2 * weight)
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.4f}")


def accuracy(layers, images, labels):
    x = images.astype(np.float64)
    for layer in layers:
        x = layer.forward(x)
    return float((x.argmax(1) == labels).mean())


def to_onnx(layers) -> onnx.ModelProto:
    """The trained layers as an ONNX model with a dynamic batch dimension."""
    nodes, initializers = [], []
    value = "image"
    counts = {}

    def emit(op, *extra, **attributes):
        nonlocal value
        counts[op] = counts.get(op, 0) + 1
        name = f"{op.lower()}{counts[op]}"
        nodes.append(helper.make_node(op, [value, *extra], [name], name=name, **attributes))
        value = name

    def parameters(weight, bias):
        names = []
        for kind, array in (("weight", weight), ("bias", bias)):
            names.append(f"{kind}{len(initializers)}")
            initializers.append(numpy_helper.from_array(array.astype(np.float32), names[-1]))
        return names

    for layer in layers:
        if isinstance(layer, Convolution):
            weight, bias = layer.weights
            names = parameters(weight.reshape(len(bias), -1, 3, 3), bias)
            emit("Conv", *names, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            emit("Relu")
        elif isinstance(layer, Pooling):
            emit("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        else:
            if len(layer.shape) == 4:
                emit("Flatten")
            emit("Gemm", *parameters(*layer.weights), transB=1)
            if not layer.last:
                emit("Relu")
    nodes[-1].output[0] = "scores"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rng = np.random.default_rng(SEED)
    images, labels, test_images, test_labels = digits()
    layers = [
        Convolution(rng, 1, 16),
        Convolution(rng, 16, 32),
        Pooling(),
        Convolution(rng, 32, 32),
        Pooling(),
        Classifier(rng, 128, 64, last=False),
        Classifier(rng, 64, 10, last=True),
    ]
    train(layers, images, labels, rng)
    print(f"accuracy on the test set: {100 * accuracy(layers, test_images, test_labels):.2f} %")
    onnx.save(to_onnx(layers), sys.argv[1])


if __name__ == "__main__":
    main()
