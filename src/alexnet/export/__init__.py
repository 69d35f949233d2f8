"""A trained network as one file that other runtimes read: ONNX and OpenVINO, in float32 or with 8-bit weights."""
