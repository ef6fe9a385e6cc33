"""T44: more tasks than there is room for, each of which makes more."""

import asyncio

from attempts import attempt


async def breed() -> None:
    children = []
    while True:
        children.append(asyncio.ensure_future(breed()))
        await asyncio.sleep(0)


attempt("tasks that breed", lambda: asyncio.run(breed()))
