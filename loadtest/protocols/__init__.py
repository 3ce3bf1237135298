"""The gateway beside a bare echo, protocol by protocol, and where its time goes."""
