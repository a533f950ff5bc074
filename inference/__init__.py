"""The answer: contracts, the model registry, and batched ONNX Runtime predictions."""
