"""Foreign clients against the gateway: each speaks its own official protocol."""
