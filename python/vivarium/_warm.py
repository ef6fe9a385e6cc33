"""Run and forgotten: for Python's caches when an image is built, for compiled code after a restore."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int


def work(count: int) -> dict[str, float]:
    rows = [{"n": n, "text": f"{n:>4}"} for n in range(count)]
    text = json.dumps(sorted(rows, key=lambda row: -row["n"]))
    return {row["text"].strip(): row["n"] / 2 for row in json.loads(text)}


async def wait() -> int:
    await asyncio.sleep(0)
    return 1


print("warm")
print("warm", file=sys.stderr)
asyncio.run(wait())
with open("warm.txt", "w") as file:
    file.write("warm")
# Files that are left become the image's.
os.remove("warm.txt")
try:
    {}["missing"]
except KeyError as error:
    str(error)
[Point(1, 2), work(50), {1, 2}, b"bytes", (None, 2**70)]
