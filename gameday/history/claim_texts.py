"""The claims by name: which bounds each has, and what it says in plain words.

This is the list of claims. The manifest takes names and bounds from it, the catalogue and the reports its words. How a
claim is judged stands in gameday/verify/claims.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimText:
    """`bounds`: what an entry may say besides the claim's name, and of which type; seconds are float.

    `summary` is one line. The other three answer what a reader of a verdict asks: what does it mean, when is it
    unknown, and what do I do. They are Markdown, written for somebody who has not read the record format; the
    definitions to the letter are in docs/history.md.
    """

    bounds: Mapping[str, type] = field(default_factory=dict)
    summary: str
    means: str
    unknown: str
    action: str


_NOT_DRAINED = "The queue or stream was not seen empty after the load"
_EMPTY_IT = (
    "Unknown because something was left in the queue: give the run more time (`drain_timeout`), or find out why the "
    "consumers do not come to an end."
)

CLAIM_TEXTS: Mapping[str, ClaimText] = {
    "all-accepted": ClaimText(
        summary="Every message of the load was accepted by the service.",
        means=(
            "No message was given up. A message is given up (`given-up`) when each of its attempts was answered with a "
            "failure: it never got in. The other claims speak of accepted messages only. A producer that loses "
            "messages before the service has them breaks this claim and no other."
        ),
        unknown=(
            "An attempt had no sure answer (a lost reply, a timeout) and the message was never received; or fewer "
            "messages were attempted than the load had scheduled; or the load never came to its end."
        ),
        action=(
            "Violated: let the producer try longer (`load.give_up`), send less, or find out what refuses the messages "
            "(the `error` in the examples). Where a scenario means to lose sends, leave this claim out. Unknown "
            "because too few were attempted: the load could not keep its rate; use more `load.processes` or a lower "
            "rate."
        ),
    ),
    "no-loss": ClaimText(
        summary="Every message that the service accepted reached a consumer or the dead-letter queue.",
        means=(
            "Each accepted message was received at least once on every subscription that should get it, or stands "
            "among its dead letters. No message disappeared after it had been received and before anybody deleted it. "
            "Two things it does not ask about: a healthy message that ended in the dead-letter queue is not lost "
            "(`dead-letter` asks about that), and neither is a message that the service never accepted "
            "(`all-accepted` asks about those). The report says beside this claim how many there were of both."
        ),
        unknown=(
            f"{_NOT_DRAINED}, so a missing message may still come. Or messages are missing on a subscription for which "
            "AWS promises at-most-once (an SNS FIFO topic with a filter), where a loss is allowed."
        ),
        action=(
            "Violated: read the examples. Their timeline ends where the message was last seen. Look for a "
            "subscription, rule or filter that is missing or too narrow, for a retention period that is too short, and "
            f"for somebody else who reads from the queue. {_EMPTY_IT} Unknown behind an SNS FIFO topic with a filter: "
            "an emulator can be held to more than AWS promises, with `promises: at-least-once` on the subscription."
        ),
    ),
    "no-phantom": ClaimText(
        summary="Nobody received a message that was never sent, or one that was changed on its way.",
        means=(
            "Each received message was meant to be sent by a producer of this run, and at least one attempt to send it "
            "may have worked. Its body and its group are those that were sent."
        ),
        unknown="Nothing was received.",
        action=(
            "Violated: look for another producer that writes to the same queue, for messages left over from an earlier "
            "run, and for code in between that changes bodies."
        ),
    ),
    "exactly-once-delivery": ClaimText(
        summary="No message was lost, stored twice, or handed out again before its time.",
        means=(
            "A repeated send within the deduplication window made no second copy. Where the service deduplicates "
            "(FIFO), a message was not handed out again while it was still hidden, nor after it had been deleted in "
            "time. It *holds with redeliveries*: a message that comes again because its visibility timeout ran out "
            "(the consumer died, or was slow) is what every queue does. That is at-least-once delivery, it violates "
            "nothing, and the number of such receives stands beside the claim. What has to happen exactly once is the "
            "effect: claim `exactly-once-effect`."
        ),
        unknown=f"{_NOT_DRAINED}; or a second copy was received and nobody knows when it was enqueued.",
        action=(
            "Violated by `send-duplicate`: a producer sent again after a lost reply, and the queue does not "
            "deduplicate. Use a FIFO queue with a deduplication id, or make the effect idempotent and claim "
            "`exactly-once-effect`. Violated by `early-redelivery`: the service broke its own rule. Violated by "
            f"`lost` or `vanished`: see `no-loss`. {_EMPTY_IT}"
        ),
    ),
    "at-least-once-effect": ClaimText(
        summary="Every message had its effect at least once.",
        means=(
            "For each message that was accepted or received, the handler's effect stands in the effect store, on every "
            "subscription that should get it. A poison message that ended among the dead letters has no effect to "
            "miss; a healthy one that ended there has."
        ),
        unknown=(
            f"{_NOT_DRAINED}; or no consumer records effects (the handler `no-op`); or nobody knows whether an effect "
            "was applied, because its consumer died and the store was not read back."
        ),
        action=(
            "Violated: a consumer said *done* before it had done the work: it deletes first, marks the message first "
            "(the guard `claim-first`), or writes its checkpoint first. Do the work, then say so; write the mark and "
            f"the effect at once (the guard `transaction`). {_EMPTY_IT}"
        ),
    ),
    "exactly-once-effect": ClaimText(
        summary="Every message had its effect exactly once, however often it was delivered.",
        means=(
            "What `at-least-once-effect` says, and no effect was applied twice. This is the claim that matters to most "
            "systems: redeliveries are allowed, and the consumer has to be idempotent."
        ),
        unknown=f"{_NOT_DRAINED}; or no consumer records effects; or nobody knows whether an effect was applied.",
        action=(
            "Violated by `effect-duplicate`: the consumer does not notice that it has done this message before. The "
            "timeline shows both effects, and what lay between them (a crash, a pause, a visibility timeout that ran "
            "out during the work). Write the mark and the effect in one transaction. Violated by `effect-missing`: see "
            f"`at-least-once-effect`. {_EMPTY_IT}"
        ),
    ),
    "ordered-per-group": ClaimText(
        bounds={"strict": bool},
        summary="Messages of a group were received in the order in which they were sent.",
        means=(
            "It covers queues that promise an order by group (FIFO). The order is the one of the service's sequence "
            "numbers and, where there are none, that of one producer's sends that followed each other. No message came "
            "before one that stands before it, none was handed out while an earlier one of its group was still in the "
            "queue (`group-overtake`), and no producer mixed up its own order (`stored-out-of-order`). A message that "
            "died leaves a gap; with `strict: true` the gap is a violation (`dlq-gap`)."
        ),
        unknown=(
            "No message had another one before it in its group; or what looks like a violation is none if a message "
            "died, and nobody read the dead letters to their end."
        ),
        action=(
            "Violated by `stored-out-of-order`: the producer goes on with the next message while one is still to be "
            "sent again; hold the group back until the answer is there. By the others: the service broke its order, "
            "or a proxy in between did."
        ),
    ),
    "ordered-per-partition": ClaimText(
        bounds={"strict": bool},
        summary="Records of a partition key were received in the order in which they were sent.",
        means=(
            "The same as `ordered-per-group`, for streams: the order holds within a partition (a shard), and what "
            "stands in a shard comes before what stands in the shards that it was split or merged into "
            "(`child-before-parent`). A record that is read again after a restart is no violation."
        ),
        unknown="No record had another one before it in its partition.",
        action=(
            "Violated by `stored-out-of-order`: the producer sends the refused records of a call again while later "
            "ones are already stored; hold the key back until all are in. By `child-before-parent`: the consumer reads "
            "a new shard before it has read its parents to the end."
        ),
    ),
    "ordered-effects": ClaimText(
        summary="The effects of a group were applied in the order in which its messages were sent.",
        means=(
            "No message had its first effect only after a message behind it in its group had had one, wherever the "
            "service promises an order. Messages can be received in order and still be worked on out of order, for "
            "example by several threads, or when a failed message is tried again later."
        ),
        unknown="No consumer records effects, or nobody knows whether an effect was applied.",
        action=(
            "Violated: work on one message of a group at a time, and when one fails, stop its group until it has been "
            "done. Where the producer is to blame (`stored-out-of-order`), see `ordered-per-group`."
        ),
    ),
    "fanout-complete": ClaimText(
        summary="Every message reached all the subscriptions that should get it.",
        means=(
            "What `no-loss` says of each subscription by itself, without the messages that were sent before a filter "
            "or a rule had taken effect (on AWS that takes minutes)."
        ),
        unknown=f"{_NOT_DRAINED}; or messages are missing where AWS promises at-most-once.",
        action=(
            "Violated: the examples name the subscription that misses the message. Look at its filter policy, its rule "
            f"and its queue policy. {_EMPTY_IT}"
        ),
    ),
    "replay-complete": ClaimText(
        summary="A replay of the archive brought every message of its time again.",
        means=(
            "Each accepted message that was sent within the time of a replay was received once more, marked with the "
            "name of that replay."
        ),
        unknown="No replay ran to its end; or the queue was not seen empty after the replay.",
        action=(
            "Violated: look at the archive's event pattern and at the times of the replay; an archive receives events "
            f"with a delay. {_EMPTY_IT}"
        ),
    ),
    "filter-correct": ClaimText(
        summary="Filtered subscriptions got the messages that they should get, and no others.",
        means=(
            "Who should get a message follows from the filter or the pattern that the scenario writes, by a reading of "
            "AWS's rules of our own. A message on a subscription that should not get it is `misrouted`, one that does "
            "not come where it should is `lost`. Messages sent before the filter had taken effect are left out."
        ),
        unknown=f"{_NOT_DRAINED}; or no accepted message concerns the subscription.",
        action=(
            "Violated by `misrouted`: the filter in force is wider than the one that was meant. By `lost`: it is "
            "narrower, or the queue's policy refuses the service. Unknown with nothing to check: look for a typing "
            "mistake in a field's name."
        ),
    ),
    "dead-letter": ClaimText(
        bounds={"strict": bool},
        summary="Poison messages ended in the dead-letter queue, and healthy ones that a handler failed did not.",
        means=(
            "Each message that no handler can do (`load.poison`) is among the dead letters, no message was received "
            "more often than `max_receives` allows, and no healthy message died after a handler had failed it "
            "(`healthy-dead`). A healthy message can also die without any failure: its visibility timeout ran out "
            "again and again, or it shared its batch with one that failed (`collateral-dead`). That counts only with "
            "`strict: true`. `checked` counts the poison messages."
        ),
        unknown=f"{_NOT_DRAINED}; or no poison message was sent, so nothing shows that the dead-letter queue works.",
        action=(
            "Violated by `collateral-dead` or `healthy-dead`: give the work more time (a longer visibility timeout, or "
            "`heartbeat`), report failures for single messages and not for the batch, or raise `max_receives`. By "
            "`poison-escaped`: the redrive policy is missing, or somebody deletes messages that failed. "
            f"{_EMPTY_IT}"
        ),
    ),
    "batch-isolation": ClaimText(
        summary="What a function reported done did not come again before it could.",
        means=(
            "It covers queues that deduplicate (FIFO) and whose messages functions are invoked with. A message that an "
            "invocation reported done, for it succeeded and its answer did not name it among the failures, came again "
            "no sooner than its visibility timeout allows. That it comes again later is legal, a mapping delivers at "
            "least once: it is counted as `batch-rerun`, and what has to happen exactly once is the effect. `checked` "
            "counts the messages that were reported done."
        ),
        unknown=(
            "No message was reported done. Or one that was came again, and nothing tells which copy it was or how "
            "often it had been received (a `received` record of the invocation would). Or it came again too soon, and "
            "the functions record themselves: the service may never have had the answer, and given the message back."
        ),
        action=(
            "Violated: the whole batch came again although only some of it had failed, or the queue did not keep its "
            "visibility timeout. Look whether the mapping reads partial answers (`ReportBatchItemFailures`)."
        ),
    ),
    "esm-ordered": ClaimText(
        summary="Functions were invoked with the messages of a group in their order, and with one at a time.",
        means=(
            "It covers what a service settles by itself and promises in order: an event source mapping of a FIFO queue "
            "or of a stream. No message was first invoked before one that stands before it, none while an earlier one "
            "of its group was still to be tried again (`group-overtake`), and none while an invocation with another "
            "one of its group was at work (`concurrent-invocation`)."
        ),
        unknown=(
            "No message had another one before it in its group; or what looks like a violation is none if a message "
            "died, and nobody read the dead letters to their end."
        ),
        action=(
            "Violated: the service, or an emulator of it, broke its order. If the function itself goes on after a "
            "failure, that shows in the effects instead: claim `ordered-effects`."
        ),
    ),
    "no-premature-death": ClaimText(
        summary="No message became a dead letter before it had all its invocations.",
        means=(
            "It covers queues with a dead-letter queue whose messages functions are invoked with. Each message that "
            "died had been in as many invocations as `max_receives` allows. One that had not used up receives in "
            "vain: invocations were throttled, or its visibility timeout was shorter than its time in the mapping. "
            "That is how the mapping is configured, never the queue's fault."
        ),
        unknown=(
            f"{_NOT_DRAINED}. Or a message died with fewer invocations on record, and the functions record themselves, "
            "so that one may have died before it wrote."
        ),
        action=(
            "Violated: raise `max_receives` (AWS advises at least five), give the function more concurrency or the "
            "mapping a maximum of its own, and make the visibility timeout six times the function's timeout. "
            f"{_EMPTY_IT}"
        ),
    ),
    "discard-accounted": ClaimText(
        summary="No message was given up without a success or a record of its failure.",
        means=(
            "It covers what a service settles by itself. Each message that was accepted or received is done by what an "
            "invocation of it answered, or stands among the dead letters (the on-failure destination of a stream's "
            "mapping, or of an asynchronous invocation). None is gone after failures alone, or unseen, though nothing "
            "is left to come (`discarded`)."
        ),
        unknown=(
            f"{_NOT_DRAINED}. Or a message is gone of which some invocation gave no answer on record, so it may have "
            "been done."
        ),
        action=(
            "Violated: give the mapping, or the function's asynchronous invocation, an on-failure destination; more "
            f"retries, or a longer maximum age. {_EMPTY_IT}"
        ),
    ),
    "no-dangling-reference": ClaimText(
        summary="No object was gone while the message that refers to it was still on its way.",
        means=(
            "Where a large body stands in an object and the message is a reference to it, each consumer that was given "
            "the reference found the object, and nobody removed it before the message was done there. A message is "
            "done once a delete of it that may have worked was begun. A reference that comes once more after that, and "
            "finds its object gone, is no harm."
        ),
        unknown=(
            f"{_NOT_DRAINED}; or a reference was received and nobody is known to have asked for its object. Consumers "
            "of your own leave it unknown, unless they record `fetched`."
        ),
        action=(
            "Violated: the timeline of an example shows which was first. Remove the object after the message and not "
            "before it; store the body before the reference is sent; let objects live longer than a message may be on "
            f"its way, redeliveries and the dead-letter queue included. {_EMPTY_IT}"
        ),
    ),
    "no-orphan": ClaimText(
        summary="No object is left without its message, or a rule of the bucket removes it.",
        means=(
            "After the run, with every queue seen empty, no object stands in the bucket whose message is neither on a "
            "queue nor among the dead letters. Consumers that are killed between the delete of a message and that of "
            "its object leave some, and so do those that keep objects: only a rule of the bucket (a lifecycle) bounds "
            "them. Where there is one they are counted (`orphan-bounded`) and violate nothing."
        ),
        unknown=f"{_NOT_DRAINED}; or nobody listed the objects at the end.",
        action=(
            "Violated: give the bucket a rule that lets objects expire, longer than a message may be on its way; and "
            f"let consumers remove an object once its message is deleted. {_EMPTY_IT}"
        ),
    ),
    "payload-intact": ClaimText(
        summary="Each body that was fetched is the one that was stored.",
        means=(
            "A reference carries the checksum of the body that it stands for, and each body that a consumer fetched "
            "has it. The reference itself is looked at by `no-phantom`."
        ),
        unknown="A reference was received, and nobody held its object against the checksum.",
        action=(
            "Violated: something wrote another body under the same name, or changed it on its way. Names of objects "
            "must be unique, and written once (`If-None-Match: *`)."
        ),
    ),
    "schema-conformant": ClaimText(
        summary="Each message that was received fits the schema that its consumers expect.",
        means=(
            "Consumers held what they received, or fetched, against the version of the schema that they know, with the "
            "conventions that every event keeps (a correlation id, a domain, a timestamp). A compatible change fits; a "
            "breaking one does not."
        ),
        unknown="A message was received, and nothing says whether it fits.",
        action=(
            "Violated: a producer sends a version that consumers do not know. Deploy consumers first, send the new "
            "version under a name of its own, or make the change a compatible one: new fields optional, old ones kept."
        ),
    ),
    "exactly-once-execution": ClaimText(
        summary="Every accepted start became one execution, and no message a second one.",
        means=(
            "Of a Standard workflow: for each message whose start was accepted there is an execution "
            "(`execution-missing`), and there is one only (`execution-duplicate`). A start that is repeated, because "
            "its answer was lost, must be answered with the execution that runs; refusing it while that one surely "
            "runs is a fault of the service, too (`start-refused`). Refusing it afterwards is not: the name is taken. "
            "It says nothing of what tasks did: a retried task runs again, and `exactly-once-step-effect` asks about "
            "that."
        ),
        unknown=(
            "The executions were not read back after the load, or not to their end; or the workflow is no Standard "
            "one, of whose executions nobody can ask."
        ),
        action=(
            "Violated by `execution-duplicate`: see whether each start names its execution after its message. Without "
            "a name a start that is repeated begins a second execution. Violated by `execution-missing` or "
            "`start-refused`: the service broke its word; MiniStack refuses a repeated start while the first one runs "
            "(docs/findings.md)."
        ),
    ),
    "at-least-once-execution": ClaimText(
        summary="Every accepted start of an Express workflow was carried out, as far as its steps show.",
        means=(
            "Of an Express workflow nobody can ask what became of an execution. It is judged by its steps: for each "
            "message whose start was accepted, at least one step must have been asked for something "
            "(`execution-unseen`). That an execution runs twice is legal, and violates nothing here."
        ),
        unknown=(
            "A step's queue was not seen empty after the load, so something may still come; or there is no Express "
            "workflow."
        ),
        action="Violated: a start was accepted, and nothing came of it. See the log of the machine, where it has one.",
    ),
    "at-most-once-execution": ClaimText(
        summary="No start that was waited for was carried out twice.",
        means=(
            "Of an Express workflow whose starts wait until it is over: AWS carries each out at most "
            "once. No message has more executions than starts that may have been accepted (`execution-repeated`), and "
            "no task was asked for in more than one message where its machine asks but once (`task-repeated`). Both "
            "are the service's. A message that was started again, although the first start may have been accepted, and "
            "then ran twice is its producer's mistake (`start-repeated`)."
        ),
        unknown=(
            "A step's queue was not seen empty after the load; or each step has a `Retry`, or may be gone to again, so "
            "that nobody knows how often it should be asked for."
        ),
        action=(
            "Violated by `start-repeated`: do not start again what has no answer; ask your own records, or a guard "
            "around the effects, whether it ran. Violated by `execution-repeated` or `task-repeated`: the service's "
            "fault."
        ),
    ),
    "redrive-no-rerun": ClaimText(
        summary="A redrive ran nothing again that had succeeded before.",
        means=(
            "Of a Standard workflow whose failed executions were redriven: what was over before a redrive was not "
            "asked for again (`redrive-rerun`). A task was over where something was asked for, before the redrive, "
            "that comes only behind it in the machine (`followed_by`). `checked` counts such tasks."
        ),
        unknown=(
            "Nothing was redriven behind a step; a step's queue was not seen empty; or the steps have a `Retry`, so "
            "that nobody knows how often they should be asked for."
        ),
        action=(
            "Violated: the service began from the beginning, or from too far back. Effects behind a guard stand once."
        ),
    ),
    "exactly-once-step-effect": ClaimText(
        summary="The effect of every task of the workflow was applied once, for each execution, state and item.",
        means=(
            "A task is one state of one execution, and in a map one item. No task's effect was applied more often "
            "than once (`step-effect-duplicate`); and of each execution that succeeded, none is missing that a "
            "consumer was asked for (`step-effect-missing`). A Standard execution takes each transition once, and that "
            "says nothing of effects: a `Retry` asks again, and a task whose time is over may still be at work."
        ),
        unknown=(
            "A task was received, and nothing says whether its effect was applied: a consumer died, and the effect "
            "store was not read back; or a step's queue was not seen empty."
        ),
        action=(
            "Violated by `step-effect-duplicate`: put a guard around the effect whose mark is that of execution, "
            "state and item. Violated by `step-effect-missing`: the worker reports a task done before it is."
        ),
    ),
    "callback-once": ClaimText(
        summary="Every task token was accepted once at most, and no worker sent one back twice.",
        means=(
            "A token that was sent back is worth nothing any more. The service must not accept it again "
            "(`token-accepted-twice`), and a worker that has its answer must not send it again in the same handling "
            "(`token-answered-again`). A message that comes again may be answered again: the worker cannot know "
            "whether the first answer arrived."
        ),
        unknown=(
            "No token was sent back. One that was accepted after an answer of which nobody knows is left out: the "
            "first may have been accepted, too, or have been lost."
        ),
        action=(
            "Violated by `token-answered-again`: the worker sends a token back more than once; the second is refused, "
            "and if it were a failure it would hide the first. Violated by `token-accepted-twice`: the service's fault."
        ),
    ),
    "no-hung-execution": ClaimText(
        bounds={"within_s": float},
        summary="Every execution ended soon enough.",
        means=(
            "From its start an execution took at most `within`, and none was seen to be running later than that "
            "(`checked` counts executions). How it ended is not asked."
        ),
        unknown=(
            "The executions were not read back; or one was still running when it was last looked at, and that was "
            "sooner than `within` after its start."
        ),
        action=(
            "Violated: a callback that never came, most often. Give tasks that wait a `TimeoutSeconds` or a "
            "`HeartbeatSeconds`, and see who had the token."
        ),
    ),
    "execution-lag": ClaimText(
        bounds={
            "p50_s": float,
            "p99_s": float,
            "max_s": float,
            "duration_p50_s": float,
            "duration_p99_s": float,
            "duration_max_s": float,
        },
        summary="Executions were started soon enough, and took no longer than they may.",
        means=(
            "`p50`, `p99` and `max` bound the time from `due`, when the load wanted an execution started, until its "
            "start was accepted; with `duration_` before them, how long executions took by the service's own clock. A "
            "start that is refused and sent again counts until it is accepted. It speaks of all of them, also around "
            "faults. What a redrive or a stop on purpose did to a duration violates nothing."
        ),
        unknown=(
            "A quantile of fewer than 100; executions that still run, or of which nobody told; starts that were never "
            "accepted, if they are too many; or a load that was late itself: it is violated only by what passed after "
            "a start was first sent."
        ),
        action=(
            "Violated by a start: see `throttle` in the errors of `sent`, and the quota of StartExecution. Violated by "
            "a duration: see which step waits, in the lag of its queue and the time of its handler."
        ),
    ),
    "map-complete": ClaimText(
        summary="Of every execution that succeeded, each item of its maps was worked on.",
        means=(
            "The message says how many items there are (`items`). For each step that is one of a map, each item of a "
            "message whose execution succeeded was asked for: no item was left out (`item-missing`)."
        ),
        unknown=(
            "No execution is known to have succeeded; nobody said how many items there are; or a step's queue was not "
            "seen empty."
        ),
        action="Violated: the map left items out, by its `ItemsPath` or its own fault.",
    ),
    "lag": ClaimText(
        bounds={"p50_s": float, "p99_s": float, "max_s": float, "grace_s": float, "during": str},
        summary="Messages were received soon enough after the moment at which the load wanted them sent.",
        means=(
            "The lag of a message is the time from `due`, the moment in the schedule, to its first receive. A producer "
            "that falls behind therefore keeps it from holding as much as a slow consumer does; violated it is only if "
            "it is broken as well when the time before the send began is left out. `p99: 2s` says that of 100 messages "
            "at least 99 had a lag of at most 2 s; `p50` is the median, and `max` is for all of them. A message that "
            "was never received counts with the time until the end of the run; one that ended among the dead letters "
            "is left out. `during` says which messages are judged. With `calm` (the default) those that are due around "
            "faults are left out. A fault counts from its start until `grace` after its stop (default: `within` of the "
            "claim `recovery`, else 5 s); a message is left out when that time overlaps the time from its `due` to its "
            "first receive, or to the end of its bound if that is sooner. With `faults` only those are judged, with "
            "`all` every message. The row says how many were left out."
        ),
        unknown=(
            "Fewer than 100 messages are left for a `p50` or `p99`, or none for a `max`. Or so many messages were "
            "never sent or never accepted (more than 1 % for a `p99`) that the bound could be broken by them alone. "
            "Or the load never came to its end. Or the load was late: the bound is broken, and is not counted from "
            "when the sends began. Or the clocks of the processes do not agree closely enough to tell."
        ),
        action=(
            "Violated: compare with the latency that the report prints, which has all messages in it, and with the "
            "backlog while the run was on. More consumers, more `concurrency`, or less load. Unknown because too few "
            "messages are left: a longer run, faults that are shorter or further apart, a smaller `grace`, or "
            "`during: all`. Unknown because the load was late: less load, more `load.processes` or `load.users`, or a "
            "larger machine; `gameday find-rate` tells which rate it can do."
        ),
    ),
    "recovery": ClaimText(
        bounds={"within_s": float},
        summary="After each fault, messages were on time again soon enough.",
        means=(
            "After a fault has stopped, a quiet time must begin at most `within` later. In a quiet time no message is "
            "late. It lasts 3 s, or the visibility timeout plus 1 s where that is longer. A message is late as long as "
            "it has not been received and was due longer ago than a bound: the largest bound of the `lag` claim (that "
            "with `during: calm`), or, without a `lag` claim, twice the p99 of the messages before the first fault. "
            "`checked` counts faults, not messages."
        ),
        unknown=(
            "The next fault began, or the load ended, before the quiet time was over; the fault never stopped; another "
            "fault was still going on; or, without a `lag` claim, fewer than 100 messages came before the first fault."
        ),
        action=(
            "Violated: the backlog of the fault takes longer than `within` to work off; more consumers, a shorter "
            "visibility timeout, or a longer `within`. Unknown: leave `within` and the quiet time free of faults after "
            "each fault, and let the load go on that long after the last one."
        ),
    ),
    "fair": ClaimText(
        bounds={"quiet_p99_s": float, "times_baseline": float},
        summary="Quiet tenants of a shared queue waited no longer for a noisy one.",
        means=(
            "Tenants share a Standard queue (`load.tenants`), and one class of them, `noisy`, begins in mid-run to "
            "send more than the consumers can do. For each other class, of 100 messages that were due during the noise "
            "at least 99 waited at most `quiet_p99` until their first receive, and at most `times_baseline` times as "
            "long as at least 99 of 100 had waited before it began; a baseline below 100 ms counts as 100 ms. AWS "
            "keeps quiet tenants' waits low where messages bring their tenant as `MessageGroupId` (fair queues), and "
            "promises no number: the bound is yours. Violated, it says that your tenants suffer, and not that AWS "
            "broke its word."
        ),
        unknown=(
            "The noise was not felt: the noisy tenants' own messages kept the bound too, so the consumers were never "
            "short, and a queue without any fairness would have done as well. Or fewer than 100 messages of a quiet "
            "class were due before the noise or during it, or fewer than 100 noisy ones were received. Or there was a "
            "fault, and nobody can tell what it did from what the noise did. Or the load was late, or never came to "
            "its end."
        ),
        action=(
            "Violated: see whether messages bring a `MessageGroupId` that names their tenant (`load.tell_tenants`), "
            "and whether the target shares its queues out fairly at all (`gameday conformance --services sqs`): "
            "MiniStack does not. On AWS a tenant counts as noisy only once it has a good part of what is in "
            "flight, or of the consumers' time. A receive also takes a whole batch: with slow consumers a smaller "
            "`batch` lets quiet messages wait less. Unknown because the noise was not felt: more noise, or fewer "
            "consumers."
        ),
    ),
}
