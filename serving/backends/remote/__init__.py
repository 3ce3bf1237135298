"""Models that run on servers of their own, asked over gRPC."""
