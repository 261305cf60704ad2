"""Consuming: asyncio workers, the fleet that runs them, handlers, guards, effect stores."""
