"""The feature gateway: raw facts in over gRPC, predictions out."""
