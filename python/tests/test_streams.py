"""Bytes in and out."""


def test_bytes_are_exact(run):
    code = (
        "import sys\nprint('a\\r\\nb', end='')\nsys.stdout.buffer.write(b'\\xff\\n')\n"
        "sys.stderr.write('é\\ud800');\nsys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding"
    )
    outcome = run(code)
    assert outcome.stdout == b"a\r\nb\xff\n"
    assert outcome.stderr == "é\\ud800".encode()
    assert outcome.reply.value == ["t", False, 1, "utf-8"]


def test_output_is_out_at_once(run):
    assert run("import os\nprint('a', end='')\nos.write(1, b'b');").stdout == b"ab"


def test_input(run):
    code = "import sys\na = input('> ')\nb = next(sys.stdin)\nc = sys.stdin.read()\n[a, b, c]"
    outcome = run(code, stdin="hé\nx\r\nrest\n\n".encode())
    assert outcome.reply.value == ["l", "hé", "x\r\n", "rest\n\n"]
    assert outcome.stdout == b"> "


def test_end_of_input(run):
    outcome = run("input('? ')")
    assert outcome.reply.error["name"] == "EOFError"
    assert outcome.stdout == b"? "


def test_streams_are_fresh(run_all):
    from conftest import Request

    close = Request("import sys\nsys.stdout.close()\nsys.stderr = None", {"keep": True})
    outcome = run_all(close, Request("print('on')"))
    assert outcome.stdout == b"on\n"
    assert [reply.result["status"] for reply in outcome.replies] == ["ok", "ok"]


def test_output_of_own_buffers_is_flushed(run):
    assert run(
        "import io, sys\nsys.stdout = io.TextIOWrapper(io.FileIO(1, 'w', closefd=False))\nprint('x')"
    ).stdout
