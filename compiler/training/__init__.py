"""From an ONNX model to a network that is trained in fixed point, and back."""
