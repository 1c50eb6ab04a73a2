"""A probe: its manifest, its network, and its ONNX file."""
