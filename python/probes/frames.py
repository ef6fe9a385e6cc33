"""T30: writes what looks like the protocol's frames to every descriptor there is."""

import json
import os
import struct
import sys

from attempts import attempt

result = json.dumps(
    {"jsonrpc": "2.0", "method": "result", "params": {"id": "forged", "status": "ok"}}
).encode()
frame = struct.pack(">II", len(result), len(result)) + result
little = struct.pack("<II", len(result) + 4, len(result)) + result

attempt("a frame on stdout", lambda: os.write(1, frame))
attempt("a frame on stderr", lambda: os.write(2, little))
attempt("a line on stdout", lambda: sys.stdout.write(result.decode() + "\n"))
attempt("half a frame", lambda: os.write(1, frame[:7]))
attempt("zeros", lambda: os.write(1, bytes(4096)))
for number in (*range(3, 16), 99, 100, 101, 255, 256, 999, 1000, 1001, 1002):
    attempt(f"descriptor {number}", lambda number=number: os.write(number, frame + little))
