"""Callers who go on asking for predictions while something happens to the stack."""

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.compose.composed_stack import Answer, ComposedStack, send

CALLERS = 4
PATH = "/v1/models/housing:predict"


@dataclass
class SteadyLoad:
    """What the callers saw: the ids of all answers with 200, and what else came or did not come."""

    stack: ComposedStack
    served: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def unanswered(self) -> int:
        """Count the requests that may be on the bill although no caller saw a 200."""
        return self.broken + sum(self.refused.values())

    def call_until_over(self) -> None:
        """Be one caller."""
        key, body = self.stack.demo["api_key"], self.stack.example[-1].encode()
        connection = self.stack.connect()
        while not self.is_over.is_set():
            try:
                self._note(send(connection, PATH, key, body=body))
            except (OSError, http.client.HTTPException):
                self.broken += 1
                connection.close()  # the next request opens it again
                self.is_over.wait(0.05)
        connection.close()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more were served."""
        wanted = len(self.served) + count
        self.stack.wait_until(lambda: len(self.served) >= wanted, f"{count} more served")

    def _note(self, answer: Answer) -> None:
        if answer.status == http.HTTPStatus.OK:
            self.served.append(answer.headers["x-request-id"])
        else:
            self.refused[f"{answer.status} {answer.document['code']}"] += 1


@contextmanager
def steady_load(stack: ComposedStack) -> Iterator[SteadyLoad]:
    """Run callers for the length of a block."""
    load = SteadyLoad(stack)
    threads = [threading.Thread(target=load.call_until_over) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.is_over.set()
        for thread in threads:
            thread.join()
