"""Runs a command in a terminal of its own: what it shows goes to stdout, and stdin is what is typed."""

import os
import pty
import sys


def main(command: list[str]) -> int:
    return os.waitstatus_to_exitcode(pty.spawn(command))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
