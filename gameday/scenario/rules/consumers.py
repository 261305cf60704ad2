"""Rules about who receives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS
from gameday.scenario import units
from gameday.scenario.problems import no_such
from gameday.scenario.rules.draft import Complaint, Draft, Rule, with_transport
from gameday.scenario.rules.topology import VISIBILITY_MAX_S
from gameday.transports import words


@with_transport
def a_receive_takes_the_batch(draft: Draft) -> Iterator[Complaint]:
    batch, most = draft.body.consumers.batch, draft.consumption.batch_max
    if batch is not None and batch > most:
        yield ("consumers", "batch"), f"{batch} is more than the {most} of one receive"


@with_transport
def what_stops_has_an_order(draft: Draft) -> Iterator[Complaint]:
    if draft.body.consumers.after_failure == "stop" and not draft.transport.ordered:
        yield (
            ("consumers", "after_failure"),
            f"{draft.body.transport} keeps no order, so nothing waits for a message that failed; write continue or "
            "fail-batch",
        )


@with_transport
def a_batch_that_fails_comes_again(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    if "checkpoint" in draft.consumption.no_meaning["consumers"]:
        return
    if consumers.after_failure == "fail-batch" and consumers.checkpoint == "before":
        yield (
            ("consumers", "after_failure"),
            "a batch that was checkpointed before it was handled does not come again; write stop, or remove "
            "`checkpoint: before`",
        )


@with_transport
def the_handler_fits_what_it_consumes(draft: Draft) -> Iterator[Complaint]:
    if draft.handler is not None and (why := draft.handler.wrong_on.get(draft.transport.kind)):
        yield ("consumers", "handler"), why


def the_handler_knows_the_message(draft: Draft) -> Iterator[Complaint]:
    message, handler = draft.body.load.message, draft.body.consumers.handler
    ours = isinstance(handler, str) and draft.handler is not None and draft.handler.has_effects
    if message is not None and message.id is None and ours:
        yield (
            ("consumers", "handler"),
            f"the effects of {handler} are kept under a message's id, and nothing in the messages "
            "tells one; add load.message.id: a place in the body (/order/id), or `attribute` on SQS and SNS; or use a "
            "handler without effects (no-op)",
        )


@with_transport
def poison_has_an_end(draft: Draft) -> Iterator[Complaint]:
    if draft.body.load.poison and not draft.consumption.has_dead_letters:
        yield (
            ("load", "poison"),
            f"{draft.body.transport} has no dead-letter queue: a record that no handler can do would block its shard "
            "for good; remove it",
        )


def the_handler_exists(draft: Draft) -> Iterator[Complaint]:
    if draft.handler is None and not draft.body.consumers.foreign:
        yield ("consumers", "handler"), no_such("handler", draft.body.consumers.handler, HANDLERS)


def the_guard_exists(draft: Draft) -> Iterator[Complaint]:
    if draft.body.consumers.guard not in GUARDS:
        yield ("consumers", "guard"), no_such("guard", draft.body.consumers.guard, GUARDS)


def marks_that_expire_say_when(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    guard = GUARDS.get(consumers.guard)
    if guard is None:
        return
    if guard.marks_expire and consumers.guard_expiry is None:
        yield (
            ("consumers", "guard"),
            f"{consumers.guard} needs consumers.guard_expiry: how long the mark of who has begun a message keeps "
            "others from it; longer than the work takes, shorter than the retries last",
        )
    elif not guard.marks_expire and consumers.guard_expiry is not None:
        expiring = " or ".join(name for name, other in GUARDS.items() if other.marks_expire)
        yield (
            ("consumers", "guard_expiry"),
            f"the marks of {consumers.guard} do not expire; remove it, or use the guard {expiring}",
        )


def retry_delays_are_whole_seconds(draft: Draft) -> Iterator[Complaint]:
    for key in ("retry_delay", "retry_delay_max"):
        delay_s = getattr(draft.body.consumers, key)
        if delay_s is not None and (delay_s != int(delay_s) or delay_s > VISIBILITY_MAX_S):
            yield ("consumers", key), f"{units.format_duration(delay_s)}: SQS hides for whole seconds, at most 12h"


def a_retry_delay_grows(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    if consumers.retry_delay_max is None:
        return
    if not consumers.retry_delay:
        yield ("consumers", "retry_delay_max"), "there is no consumers.retry_delay to grow up to it; add one"
    elif consumers.retry_delay_max <= consumers.retry_delay:
        yield (
            ("consumers", "retry_delay_max"),
            "consumers.retry_delay grows up to it, so it must be longer than that",
        )


def a_poll_waits_whole_seconds(draft: Draft) -> Iterator[Complaint]:
    wait_s = draft.body.consumers.wait
    if wait_s != int(wait_s):
        yield ("consumers", "wait"), f"{units.format_duration(wait_s)}: SQS takes whole seconds, 0s to 20s"


def a_heartbeat_is_in_time(draft: Draft) -> Iterator[Complaint]:
    every_s, hidden_s = draft.body.consumers.heartbeat, draft.body.topology.visibility_timeout
    if every_s is not None and every_s >= hidden_s:
        yield (
            ("consumers", "heartbeat"),
            f"every {units.format_duration(every_s)} is too late for a visibility timeout of "
            f"{units.format_duration(hidden_s)}; a third of it is usual",
        )


def keys_belong_to_the_kind_of_consumer(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    for key in sorted(consumers.model_fields_set):
        if consumers.foreign and key not in consumers.OF_KINDS[consumers.kind]:
            instead = "command" if consumers.kind == "program" else "attach"
            yield (
                ("consumers", key),
                f"it tells consumers that this run starts how to work, and `{instead}` puts yours in their place; "
                "remove one of the two",
            )
        elif not consumers.foreign and key in ("env", "cwd", "ready"):
            yield ("consumers", key), "it belongs to `command`, a program of yours; add one, or remove it"


def who_runs_already_consumes_what_is_there_already(draft: Draft) -> Iterator[Complaint]:
    if draft.body.consumers.attach is None:
        return
    if draft.body.topology.attach is None:
        yield (
            ("consumers", "attach"),
            "a consumer that runs already cannot consume what the run makes; name what it consumes by topology.attach",
        )
    if len(draft.body.topology.subscriptions) > 1:
        yield ("consumers", "attach"), "it attaches one consumer, to one subscription"


@with_transport
def words_of_a_program_stand_for_something(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    known = words.names(draft.transport, dead_letters=draft.body.topology.max_receives is not None, consumer=True)
    texts = [(("command",), text) for text in consumers.command or ()]
    for key, text in [*texts, *((("env", name), value) for name, value in consumers.env.items())]:
        try:
            words.check(text, known)
        except words.UnknownWord as error:
            yield ("consumers", *key), str(error)


def a_program_is_there(draft: Draft) -> Iterator[Complaint]:
    consumers = draft.body.consumers
    if consumers.command is None:
        return
    where = draft.directory / (consumers.cwd or "")
    if not where.is_dir():
        yield ("consumers", "cwd"), f"there is no directory {where}"
        return
    program = consumers.command[0]
    found = shutil.which(program) if "/" not in program else (where / program).is_file()
    if not found and "{" not in program:
        yield ("consumers", "command"), f"there is no program {program} ({where if '/' in program else 'on the PATH'})"


RULES: Sequence[Rule] = (
    keys_belong_to_the_kind_of_consumer,
    who_runs_already_consumes_what_is_there_already,
    words_of_a_program_stand_for_something,
    a_program_is_there,
    a_receive_takes_the_batch,
    what_stops_has_an_order,
    a_batch_that_fails_comes_again,
    the_handler_fits_what_it_consumes,
    the_handler_knows_the_message,
    poison_has_an_end,
    the_handler_exists,
    the_guard_exists,
    marks_that_expire_say_when,
    retry_delays_are_whole_seconds,
    a_retry_delay_grows,
    a_poll_waits_whole_seconds,
    a_heartbeat_is_in_time,
)
