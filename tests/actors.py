"""Who makes the changes of tests that do not ask who did."""

from auth.actor import Actor

TESTER = Actor("system", "tests", "platform", "")
