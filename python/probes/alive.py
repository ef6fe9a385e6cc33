"""What the next run must find: nothing that happens late, and an interpreter that works."""

import asyncio
import builtins
import gc

gc.collect()
await asyncio.sleep(0.005)  # noqa: F704
print("alive")
[6 * 7, hasattr(builtins, "vivarium_probe")]
