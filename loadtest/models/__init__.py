"""The published models: size, parity and latency of each format, and how near they come to the best possible."""
