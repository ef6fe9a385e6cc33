"""T02: tries to have JavaScript made from a string, by what C code has for that."""

import ctypes
import json

from attempts import attempt, canaries

libc = ctypes.CDLL(None)
script = f"Deno.readTextFileSync({json.dumps(canaries.secret)})".encode()

attempt("emscripten_run_script", lambda: libc.emscripten_run_script(script))
attempt("emscripten_run_script_int", lambda: libc.emscripten_run_script_int(script))
attempt("emscripten_run_script_string", lambda: ctypes.string_at(libc.emscripten_run_script_string(script)))
attempt("emscripten_async_run_script", lambda: libc.emscripten_async_run_script(script, 0))
attempt("emscripten_asm_const_int", lambda: libc.emscripten_asm_const_int(script, b"", None))
