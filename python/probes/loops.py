"""T43: goes on without end, each time where it is harder to stop. A round for each."""

import asyncio
import re
import time

from attempts import attempt


def stubborn() -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


async def awaiting() -> None:
    while True:
        await asyncio.sleep(0)


class Never:
    def __eq__(self, _: object) -> bool:
        while True:
            pass

    def __hash__(self) -> int:
        return 1


attempt("a loop that catches everything", stubborn)
attempt("in C", lambda: sum(range(10**12)))
attempt("a regular expression", lambda: re.match(r"(a|a)*$", "a" * 60 + "b"))
attempt("asleep", lambda: time.sleep(1e9))
attempt("in a comparison", lambda: {Never(): 1, Never(): 2})
attempt("awaiting", lambda: asyncio.run(awaiting()))
