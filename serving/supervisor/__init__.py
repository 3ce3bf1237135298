"""Several gateways in one place: workers that share ports, are started again when they end, and are counted as one.

Nothing of a gateway is imported here: no Numba, no onnxruntime, no gRPC.
"""
