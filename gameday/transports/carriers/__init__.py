"""Who carries a call: `boto` for the control plane, `aio` for consumers, `fast` for hot paths of the load."""
