"""Real gateways and the command line: start, repository, shutdown."""
