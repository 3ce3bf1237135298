"""The compiled gRPC listener: HTTP/2 by libnghttp2, everything else of a usual prediction by Numba, without the GIL."""
