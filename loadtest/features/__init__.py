"""Two real feature programs in the gateway's kernel and in the libraries that others would write them with."""
