"""An HTTP/1.1 load generator for JSON over plain sockets; the loop and the result are those of `loadtest.h2`."""
