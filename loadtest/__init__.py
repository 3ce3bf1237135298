"""Load against a running gateway: a light gRPC generator, distinct request bodies, and the benchmark beside an echo."""
