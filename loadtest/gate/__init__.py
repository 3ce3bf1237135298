"""Ratios that must not get worse: the gateway's kernels beside others on the same machine, in a minute."""
