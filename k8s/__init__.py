"""Running the gateway: manifests, and what watches it."""
