"""The gateway's kernels beside other ways to do the same, and beside what this machine copies in that time."""
