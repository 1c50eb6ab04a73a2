"""A probe: its network, its folder (manifest and ONNX file), and the scores that ONNX Runtime computes with it."""
