"""Tests of the load generator and of what it measures with."""
