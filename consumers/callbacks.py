"""Who answers for a task of a workflow that waits: a token is sent back once its work is done, or has failed.

It promises what the record format asks: `answering` is written before the call, and `answered` after it. Whoever has no
sure answer leaves the message to expire: the next one finds the effect done behind its guard, and sends the token
again. One that is refused is good no more, and its message is done with. `twice`, `never` and `insist`, which takes a
refusal for a reason to do it all again, are mistakes, made on purpose.
"""

from __future__ import annotations

from gameday.consumers.work import BaseWorker, InHand
from gameday.history import events
from gameday.history.events import SendResult, TaskAnswer
from gameday.transports.base import CallFailed, Workflows


class Callbacks:
    """Of one worker. `how`: "once", or the mistake."""

    def __init__(self, worker: BaseWorker, workflows: Workflows, how: str) -> None:
        self._worker = worker
        self._workflows = workflows
        self._how = how
        self._calls = 0

    async def answer(self, message: InHand, *, failed: bool) -> bool:
        """Send the token of a message back; whether the message is done with. Errors: HistoryError."""
        if self._how == "never":
            return True
        outcome = await self._send(message, failed=failed)
        if self._how == "twice" and outcome == "ok":
            await self._send(message, failed=failed)
        return outcome == "ok" if self._how == "insist" else outcome != "unknown"

    async def _send(self, message: InHand, *, failed: bool) -> SendResult:
        worker, task = self._worker, message.task
        assert task is not None and task.token is not None, "only a task that waits is answered for"
        self._calls += 1
        answer: TaskAnswer = "failure" if failed else "success"
        intent = events.answering(
            id=message.name,
            subscription=worker.config.subscription,
            execution=task.execution,
            item=task.item,
            token=task.token,
            answer=answer,
            consumer=worker.name,
            batch=message.batch_name,
            call=f"{worker.name}-answer-{self._calls}",
        )
        worker.write(intent)
        call = self._workflows.answer_task(task.token, failed=f"{message.name} failed" if failed else None)
        outcome: SendResult = "ok"
        started, error = worker.now(), None
        try:
            await worker.tools.carry(call)
        except CallFailed as failure:
            outcome, error = failure.outcome, str(failure)
        worker.write(events.answered(intent, started=started, outcome=outcome, error=error))
        return outcome
