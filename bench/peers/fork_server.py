"""A CPython that forks for each request: the classic way to a clean interpreter.

Each line of stdin is a JSON string with Python source. The answer is one JSON line: what the child wrote.
"""

import json
import os
import sys


def answer(source: str) -> str:
    """Runs `source` in a child and returns what it wrote to stdout."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        exec(compile(source, "<run>", "exec"), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def main() -> None:
    """Serves until stdin ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
