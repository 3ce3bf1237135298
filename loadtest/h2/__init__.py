"""An HTTP/2 load generator for gRPC, on sockets: frames, headers, connections, the client."""
