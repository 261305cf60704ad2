"""Workflows as HISTORY.md has them: the words, the rows of the anomaly table and what their claims ask.

Written from the section "Workflows" of that page, sentence by sentence, over the records as they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.reference.reading import Record
from tests.reference.words import Past


class Execution(NamedTuple):
    id: str
    arn: str


class Task(NamedTuple):
    id: str
    step: str
    execution: str
    item: int | None


class Token(NamedTuple):
    id: str
    step: str
    token: str


def records(past: Past, event: str) -> list[Record]:
    """Of an event, those of a message; of what happens on a step, only such."""
    found = [record for record in past.facts.of_workflows.get(event, ()) if record.text("id") is not None]
    if event in ("received", "step", "steps", "answering", "answered"):
        steps = {spec.name for spec in past.subscriptions.values() if spec.step is not None}
        found = [record for record in found if record.text("subscription") in steps]
    return found


def _after_all(past: Past, mark: str, others: Sequence[Record], subscription: str | None = None) -> bool:
    """Whether the last such mark follows all of these."""
    marks = [record for record in past.facts.of_workflows.get(mark, ()) if record.text("subscription") == subscription]
    if not marks:
        return False
    last = max(marks, key=lambda record: (record.at, record.file, record.line))
    return all(past.before(other.moment, last.moment) for other in others)


# -- executions


def executions(past: Past) -> list[Execution]:
    """An execution of m is one that an `ok` `sent` of m names with its `broker_id`, or that an `execution` with m's
    `id` has for its `arn`, where m was intended or sent. One without a `status` is none."""
    known = {record.text("id") for event in ("intended", "sent") for record in records(past, event)}
    named = [
        (record.text("id"), record.text("broker_id"))
        for record in records(past, "sent")
        if record.text("outcome") == "ok"
    ]
    named += [(record.text("id"), record.text("arn")) for record in records(past, "execution") if record.text("status")]
    return [
        Execution(id, arn)
        for id, arn in dict.fromkeys(named)
        if id is not None and arn is not None and id in known and past.facts.manifest.workflow is not None
    ]


def last_record(past: Past, execution: Execution) -> Record | None:
    told = [
        record
        for record in records(past, "execution")
        if (record.text("id"), record.text("arn")) == execution and record.text("status")
    ]
    return max(told, key=lambda record: (record.at, record.file, record.line), default=None)


def succeeded(past: Past, id: str, arn: str) -> bool:
    if Execution(id, arn) not in executions(past):
        return False
    last = last_record(past, Execution(id, arn))
    return last is not None and last.text("status") == "succeeded"


def executions_read(past: Past) -> bool:
    return _after_all(past, "executions-read", list(past.facts.of_workflows.get("sent", ())))


def execution_duplicate(past: Past) -> list[str]:
    """`workflow` is `standard`, and m has more than one execution. Per extra one."""
    if past.facts.manifest.workflow != "standard":
        return []
    counted = Counter(execution.id for execution in executions(past))
    return [id for id, count in counted.items() for _ in range(count - 1)]


def execution_missing(past: Past) -> list[str]:
    """`workflow` is `standard`, executions were read, m acked, and an execution that an `ok` `sent` of m names has no
    record, or m has no record of any. Per message."""
    if past.facts.manifest.workflow != "standard" or not executions_read(past):
        return []
    missing = []
    for id in past.messages:
        if not past.acked(id):
            continue
        told = [last_record(past, execution) for execution in executions(past) if execution.id == id]
        if not told or any(record is None for record in told):
            missing.append(id)
    return missing


def execution_unseen(past: Past) -> list[str]:
    """`workflow` is `express`, there are steps and all of them are drained, m acked, it expects a step, and on no step
    was m received or ever found dead. Per message."""
    steps = [spec.name for spec in past.subscriptions.values() if spec.step is not None]
    if past.facts.manifest.workflow != "express" or not steps or not all(past.drained(step) for step in steps):
        return []
    return [
        id
        for id in past.messages
        if past.acked(id)
        and any(step in past.messages[id].expect for step in steps)
        and not any(past.received(id, step) or past.deaths(id, step) or past.in_doubt(id, step) for step in steps)
    ]


def start_refused(past: Past) -> list[str]:
    """`workflow` is `standard`, a `sent` of m with `started` is `failed` with an `error` that begins with
    `ExecutionAlreadyExists`, and one execution of m ran all the while. Per `sent`."""
    if past.facts.manifest.workflow != "standard":
        return []
    refused = []
    for sent in records(past, "sent"):
        started, id = sent.time("started"), sent.text("id")
        error = sent.text("error") or ""
        if sent.text("outcome") != "failed" or started is None or not error.startswith("ExecutionAlreadyExists"):
            continue
        asked = {
            record.text("execution")
            for record in records(past, "received")
            if record.text("id") == id and past.before(record.moment, started)
        }
        answered = {
            record.text("execution")
            for record in records(past, "answered")
            if record.text("id") == id
            and record.text("outcome") == "ok"
            and (taken := record.time("started")) is not None
            and past.before(sent.moment, taken)
        }
        redriven = {
            record.text("arn")
            for record in records(past, "execution")
            if record.text("id") == id and (record.integer("redrives") or 0) > 0
        }
        of_message = {execution.arn for execution in executions(past) if execution.id == id}
        if (asked & answered & of_message) - redriven:
            refused.append(str(id))
    return refused


# -- starts that are waited for


def seen_in(past: Past, id: str) -> set[str]:
    """The executions of m, and those that a `received` of it on a step names."""
    named = {record.text("execution") for record in records(past, "received") if record.text("id") == id}
    return {one.arn for one in executions(past) if one.id == id} | {arn for arn in named if arn is not None}


def starts(past: Past, id: str) -> int:
    """How many starts of m may have been accepted."""
    intended, sent = (
        [record for record in records(past, event) if record.text("id") == id] for event in ("intended", "sent")
    )
    return max(len(intended), len(sent)) - sum(record.text("outcome") == "failed" for record in sent)


def _waited_for(past: Past) -> list[str]:
    return list(past.messages) if past.facts.manifest.workflow == "express-sync" else []


def execution_repeated(past: Past) -> list[str]:
    """`workflow` is `express-sync`, and m was seen in more executions than starts of it may have been accepted, or than
    one. Per extra one."""
    return [id for id in _waited_for(past) for _ in range(len(seen_in(past, id)) - max(starts(past, id), 1))]


def start_repeated(past: Past) -> list[str]:
    """`workflow` is `express-sync`, m was seen in more than one execution, and more than one start of it may have been
    accepted. Per start but one, at most as many as there are executions but one."""
    return [id for id in _waited_for(past) for _ in range(min(len(seen_in(past, id)), starts(past, id)) - 1)]


def task_repeated(past: Past) -> list[Task]:
    """`workflow` is `express-sync`: a task that is asked for once was received as more than one copy. Per extra
    copy."""
    if past.facts.manifest.workflow != "express-sync":
        return []
    return [task for task in tasks(past) if _asked_once(past, task) for _ in list(copies(past, task))[1:]]


def copies(past: Past, task: Task) -> dict[str, Record]:
    """The first receive of each copy."""
    found: dict[str, Record] = {}
    for record in sorted(of_task(past, "received", task), key=lambda record: (record.at, record.file, record.line)):
        if copy := record.text("broker_id"):
            found.setdefault(copy, record)
    return found


def _asked_once(past: Past, task: Task) -> bool:
    """Its machine asks for it but once, and nobody else sends it again."""
    return not (
        past.subscription(task.step).retried
        or past.redriven_of[task.id, task.step]
        or past.in_doubt(task.id, task.step)
    )


def nameless(past: Past, task: Task) -> bool:
    return any(not record.text("broker_id") for record in of_task(past, "received", task))


# -- redrives


def redrives(past: Past, id: str, arn: str) -> list[Record]:
    return [record for record in steerings(past, id, "redrive") if record.text("arn") == arn]


def stopped(past: Past, id: str) -> set[str | None]:
    """The executions of m that were stopped on purpose."""
    of_message = {execution.arn for execution in executions(past) if execution.id == id}
    return {record.text("arn") for record in steerings(past, id, "stop")} & of_message


def steerings(past: Past, id: str, action: str) -> list[Record]:
    """Those that may have worked: no `steered` of the same file, action and `call` is `failed`."""
    return [
        record
        for record in records(past, "steering")
        if (record.text("id"), record.text("action")) == (id, action)
        and record.text("arn") is not None
        and not any(
            other.text("outcome") == "failed"
            and other.file == record.file
            and all(other.text(name) == record.text(name) for name in ("id", "arn", "action", "call"))
            for other in records(past, "steered")
        )
    ]


def over_before_redrive(past: Past, task: Task) -> bool:
    """Its execution was redriven, by nobody but those who recorded it; and a `received` of m on a step of its
    `followed_by` names it and is proven to be before each redrive."""
    redriven = redrives(past, task.id, task.execution)
    told = [
        record.integer("redrives") or 0
        for record in records(past, "execution")
        if (record.text("id"), record.text("arn")) == (task.id, task.execution)
    ]
    if not redriven or max(told, default=0) > len(redriven):
        return False
    return any(
        record.text("subscription") in past.subscription(task.step).followed_by
        and (record.text("id"), record.text("execution")) == (task.id, task.execution)
        and all(past.before(record.moment, redrive.moment) for redrive in redriven)
        for record in records(past, "received")
    )


def redrive_rerun(past: Past) -> list[Task]:
    """A task that is asked for once and was over before a redrive was received as several copies. Per copy of which the
    first `received` is proven to be after a redrive of its execution, but for one where there is no other."""
    again = []
    for task in tasks(past):
        if not _asked_once(past, task) or not over_before_redrive(past, task):
            continue
        redriven = redrives(past, task.id, task.execution)
        first = copies(past, task).values()
        afterwards = [one for one in first if any(past.before(redrive.moment, one.moment) for redrive in redriven)]
        again += [task] * (len(afterwards) - (len(afterwards) == len(first)))
    return again


# -- tasks


def task_of(record: Record) -> Task | None:
    id, step, execution = record.text("id"), record.text("subscription"), record.text("execution")
    if id is None or step is None or execution is None:
        return None
    return Task(id, step, execution, record.integer("item"))


def tasks(past: Past) -> list[Task]:
    found = [task_of(record) for event in ("received", "step", "steps") for record in records(past, event)]
    return list(dict.fromkeys(task for task in found if task is not None))


def of_task(past: Past, event: str, task: Task) -> list[Record]:
    return [record for record in records(past, event) if task_of(record) == task]


def steps_read(past: Past, step: str) -> bool:
    others = [
        record
        for event in ("received", "step")
        for record in past.facts.of_workflows.get(event, ())
        if record.text("subscription") == step
    ]
    return _after_all(past, "steps-read", others, step)


def applied(past: Past, task: Task) -> int:
    if steps_read(past, task.step):
        told = of_task(past, "steps", task)
        return max(told, key=lambda record: (record.file, record.line)).integer("applied") or 0 if told else 0
    return sum(record.text("outcome") == "applied" for record in of_task(past, "step", task))


def unknown(past: Past, task: Task) -> bool:
    if steps_read(past, task.step):
        return False
    batches = [record.text("batch") for record in of_task(past, "step", task)]
    return any(
        record.text("batch") is None or record.text("batch") not in batches
        for record in of_task(past, "received", task)
    )


def failed(past: Past, task: Task) -> bool:
    return any(record.text("outcome") == "failed" for record in of_task(past, "step", task)) or any(
        record.text("answer") == "failure"
        for event in ("answering", "answered")
        for record in of_task(past, event, task)
    )


def step_effect_duplicate(past: Past) -> list[Task]:
    """A task is applied more than once. Per extra one."""
    return [task for task in tasks(past) for _ in range(applied(past, task) - 1)]


def step_effect_missing(past: Past) -> list[Task]:
    """A task was received, s drained, the last record of its execution is `succeeded`, it is applied zero times and
    that is not unknown, it did not fail, and m was never dead on s. Per task."""
    return [
        task
        for task in tasks(past)
        if of_task(past, "received", task)
        and past.drained(task.step)
        and succeeded(past, task.id, task.execution)
        and applied(past, task) == 0
        and not unknown(past, task)
        and not failed(past, task)
        and not past.deaths(task.id, task.step)
        and not past.in_doubt(task.id, task.step)
    ]


# -- tokens


def tokens(past: Past) -> list[Token]:
    return list(
        dict.fromkeys(
            Token(str(record.text("id")), str(record.text("subscription")), token)
            for event in ("answering", "answered")
            for record in records(past, event)
            if (token := record.text("token")) is not None
        )
    )


def of_token(past: Past, event: str, token: Token) -> list[Record]:
    return [
        record
        for record in records(past, event)
        if (record.text("id"), record.text("subscription"), record.text("token")) == token
    ]


def accepted(past: Past, token: Token) -> int:
    return sum(record.text("outcome") == "ok" for record in of_token(past, "answered", token))


def unsure(past: Past, token: Token) -> bool:
    told = sum(record.text("outcome") in ("ok", "failed") for record in of_token(past, "answered", token))
    return len(of_token(past, "answering", token)) > told


def token_accepted_twice(past: Past) -> list[Token]:
    """A token was accepted more than once. Per extra one."""
    return [token for token in tokens(past) for _ in range(accepted(past, token) - 1)]


def token_answered_again(past: Past) -> list[Token]:
    """An `answering` on a step, behind an `answered` of its own file that is `ok` and has the same `id`,
    `subscription`, `token` and `batch`. Per `answering`."""
    return [
        token
        for token in tokens(past)
        for again in of_token(past, "answering", token)
        if any(
            first.text("outcome") == "ok"
            and (first.file, first.text("batch")) == (again.file, again.text("batch"))
            and again.text("batch") is not None
            and first.line < again.line
            for first in of_token(past, "answered", token)
        )
    ]


# -- items


def items_of(past: Past, id: str) -> int | None:
    """What the first attempt says that tells them."""
    told = [record for record in records(past, "intended") if record.text("id") == id]
    told.sort(key=lambda record: (record.integer("attempt") or 0, record.file, record.line))
    return next((items for record in told if (items := record.integer("items")) is not None), None)


def mapped(past: Past) -> list[Execution]:
    return [execution for execution in executions(past) if succeeded(past, *execution)]


def item_missing(past: Past) -> list[tuple[str, str]]:
    """Per item, as (message, step)."""
    return [
        (execution.id, spec.name)
        for spec in past.subscriptions.values()
        if spec.per_item and past.drained(spec.name)
        for execution in mapped(past)
        if not past.deaths(execution.id, spec.name) and not past.in_doubt(execution.id, spec.name)
        for item in range(items_of(past, execution.id) or 0)
        if Task(execution.id, spec.name, execution.arn, item) not in tasks(past)
    ]


# -- no-hung-execution


def left_out(past: Past, execution: Execution, within_ns: int) -> bool:
    """It was stopped on purpose, its last record says `aborted`, and not that it took too long."""
    return stopped_on_purpose(past, execution) and hung(past, execution, within_ns) is not True


# -- execution-lag


class Took(NamedTuple):
    """What it surely took, and may have taken; None where nobody knows."""

    surely: int
    perhaps: int | None


def start_took(past: Past, id: str) -> Took:
    told = [record for event in ("intended", "sent") for record in records(past, event) if record.text("id") == id]
    intended = [record for record in told if record.event == "intended"]
    sent = [record for record in told if record.event == "sent"]
    accepted = [record.at for record in sent if record.text("outcome") == "ok"]
    due = past.messages[id].due
    error = 0 if len({record.file for record in told}) == 1 else past.error
    perhaps = None if not accepted or due is None else max(min(accepted) - due.time, 0) + error
    tried = [record.integer("started") for record in sent if record.text("outcome") != "failed"]
    if not accepted or len(sent) < len(intended) or None in tried:
        return Took(0, perhaps)
    calls = [started for record in sent if (started := record.integer("started")) is not None]
    began = [min(record.at for record in intended), min(calls), 0 if due is None else due.time]
    first = min(started for started in tried if started is not None)
    return Took(max(first - max(began) - error, 0), perhaps)


def execution_took(past: Past, execution: Execution) -> Took:
    last = last_record(past, execution)
    assert last is not None
    started, stopped = last.integer("started"), last.integer("stopped")
    if last.text("status") == "running":
        ran = _has_run(past, execution, last)
        return Took(max(ran or 0, 0), None)
    if started is None or stopped is None:
        return Took(0, None)
    return Took(max(stopped - started, 0) if not last.integer("redrives") else 0, stopped - started)


def stopped_on_purpose(past: Past, execution: Execution) -> bool:
    last = last_record(past, execution)
    assert last is not None
    return last.text("status") == "aborted" and execution.arn in stopped(past, execution.id)


def _has_run(past: Past, execution: Execution, last: Record) -> int | None:
    """How long after its start was first answered it was seen to run, less the error; None where nobody told."""
    answered = [
        record
        for record in records(past, "sent")
        if record.text("outcome") == "ok" and (record.text("id"), record.text("broker_id")) == execution
    ]
    if not answered:
        return None
    first = min(answered, key=lambda record: (record.at, record.line))
    return last.at - first.at - (0 if first.file == last.file else past.error)


def hung(past: Past, execution: Execution, within_ns: int) -> bool | None:
    """Whether it took too long; None where nobody knows."""
    last = last_record(past, execution)
    assert last is not None
    if last.text("status") == "running":
        ran = _has_run(past, execution, last)
        return True if ran is not None and ran > within_ns else None
    started, stopped = last.integer("started"), last.integer("stopped")
    return None if started is None or stopped is None else stopped - started > within_ns
