"""The classifier in use: files, requests, tables, ONNX, the packaged model."""
