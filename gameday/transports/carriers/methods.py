"""How botocore calls an operation in Python: of the two carriers that use it, and of nothing else that they import."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=256)
def method_name(operation: str) -> str:
    """botocore's method for an operation: SendMessageBatch is send_message_batch."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()
