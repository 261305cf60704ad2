"""Every fault by the name that a scenario calls it. Adding one is one file in chaos/faults and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.chaos.base import Fault
from gameday.chaos.faults.api_error import ApiError
from gameday.chaos.faults.blackhole import Blackhole
from gameday.chaos.faults.clock_step import ClockStep
from gameday.chaos.faults.cold_start import ColdStart
from gameday.chaos.faults.crash_at import CrashAt
from gameday.chaos.faults.deny import Deny
from gameday.chaos.faults.deploy import Deploy
from gameday.chaos.faults.disable_mapping import DisableMapping
from gameday.chaos.faults.double_callback import DoubleCallback
from gameday.chaos.faults.duplicate_delivery import DuplicateDelivery
from gameday.chaos.faults.expire_iterator import ExpireIterator
from gameday.chaos.faults.fail_handler import FailHandler
from gameday.chaos.faults.fis import Fis
from gameday.chaos.faults.freeze_producer import FreezeProducer
from gameday.chaos.faults.full_disk import FullDisk
from gameday.chaos.faults.function_error import FunctionError
from gameday.chaos.faults.function_timeout import FunctionTimeout
from gameday.chaos.faults.hold_in_flight import HoldInFlight
from gameday.chaos.faults.impair_queue import ImpairQueue
from gameday.chaos.faults.kill_consumer import KillConsumer
from gameday.chaos.faults.late_callback import LateCallback
from gameday.chaos.faults.late_delete import LateDelete
from gameday.chaos.faults.latency import Latency
from gameday.chaos.faults.lose_answer import LoseAnswer
from gameday.chaos.faults.lose_delete import LoseDelete
from gameday.chaos.faults.lose_request import LoseRequest
from gameday.chaos.faults.lose_send_reply import LoseSendReply
from gameday.chaos.faults.partial_batch import PartialBatch
from gameday.chaos.faults.partition import Partition
from gameday.chaos.faults.pause_consumer import PauseConsumer
from gameday.chaos.faults.reset import Reset
from gameday.chaos.faults.reshard import Reshard
from gameday.chaos.faults.rolling_restart import RollingRestart
from gameday.chaos.faults.scale import Scale
from gameday.chaos.faults.slow_body import SlowBody
from gameday.chaos.faults.slow_store import SlowStore
from gameday.chaos.faults.stop_execution import StopExecution
from gameday.chaos.faults.store_down import StoreDown
from gameday.chaos.faults.stretch_processing import StretchProcessing
from gameday.chaos.faults.throttle import Throttle
from gameday.chaos.faults.throttle_function import ThrottleFunction
from gameday.chaos.faults.throttle_sends import ThrottleSends
from gameday.chaos.faults.throttle_starts import ThrottleStarts

FAULTS: Mapping[str, type[Fault]] = {
    "kill-consumer": KillConsumer,
    "rolling-restart": RollingRestart,
    "scale": Scale,
    "pause-consumer": PauseConsumer,
    "stretch-processing": StretchProcessing,
    "fail-handler": FailHandler,
    "crash-at": CrashAt,
    "throttle-function": ThrottleFunction,
    "disable-mapping": DisableMapping,
    "function-error": FunctionError,
    "function-timeout": FunctionTimeout,
    "cold-start": ColdStart,
    "deploy": Deploy,
    "lose-send-reply": LoseSendReply,
    "lose-delete": LoseDelete,
    "throttle-sends": ThrottleSends,
    "throttle-starts": ThrottleStarts,
    "late-callback": LateCallback,
    "double-callback": DoubleCallback,
    "stop-execution": StopExecution,
    "reshard": Reshard,
    "throttle": Throttle,
    "api-error": ApiError,
    "deny": Deny,
    "latency": Latency,
    "blackhole": Blackhole,
    "reset": Reset,
    "lose-request": LoseRequest,
    "lose-answer": LoseAnswer,
    "partial-batch": PartialBatch,
    "slow-body": SlowBody,
    "duplicate-delivery": DuplicateDelivery,
    "late-delete": LateDelete,
    "expire-iterator": ExpireIterator,
    "impair-queue": ImpairQueue,
    "fis": Fis,
    "partition": Partition,
    "slow-store": SlowStore,
    "store-down": StoreDown,
    "freeze-producer": FreezeProducer,
    "hold-in-flight": HoldInFlight,
    "clock-step": ClockStep,
    "full-disk": FullDisk,
}
