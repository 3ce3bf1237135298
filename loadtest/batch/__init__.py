"""A million rows scored by `epm score`, beside onnxruntime in a loop."""
