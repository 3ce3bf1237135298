"""What `locust -f loadtest/locustfile.py` finds; everything is in `loadtest/users`. See docs/load-tests.md."""

from loadtest.users.driver import USERS
from loadtest.users.listeners import listen

listen()
globals().update(USERS)
