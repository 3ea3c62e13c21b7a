"""A small workflow for the tests of the runtime, in a module that the sandbox can import by itself."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from soar.model.people import Responder

STATUS = SearchAttributeKey.for_keyword("SoarStatus")
SECRET = "AKIAIOSFODNN7EXAMPLE"


@activity.defn
async def look_up(name: str) -> Responder:
    """Find a responder; there is none called nobody."""
    if name == "nobody":
        raise ApplicationError(f"{SECRET} was refused", non_retryable=True)
    return Responder(id=name, name=name.title() + " " + SECRET)


@workflow.defn
class Holding:
    """Waits for a word, then asks an activity."""

    def __init__(self) -> None:
        self._word = ""

    @workflow.run
    async def run(self, ballast: str) -> Responder:
        """Wait; the ballast only makes the history heavy."""
        workflow.upsert_search_attributes([STATUS.value_set("waiting")])
        await workflow.wait_condition(lambda: bool(self._word))
        return await workflow.execute_activity(
            look_up, self._word, start_to_close_timeout=timedelta(seconds=10)
        )

    @workflow.signal
    def say(self, word: str) -> None:
        """Say the word."""
        self._word = word
