"""Users of the gateway for locust, and `python -m loadtest.users`: a minute of them with a verdict.

Only `driver` and `listeners` import locust, which patches the standard library for gevent as soon as it is imported.
"""
