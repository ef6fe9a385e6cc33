"""Runs every script in a native Python and writes what it prints to `expected/`, with the versions used.

In a virtual environment with `PACKAGES`, in the versions of Pyodide's distribution:
python test/science/native.py
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "lxml",
    "matplotlib",
    "mpmath",
    "numpy",
    "openpyxl",
    "pandas",
    "pillow",
    "pydantic",
    "regex",
    "scikit-learn",
    "scipy",
    "sympy",
)

here = Path(__file__).parent
expected = here / "expected"
expected.mkdir(exist_ok=True)
for old in expected.iterdir():
    old.unlink()
names = sorted(path.stem for path in (here / "scripts").glob("*.py"))
environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONUTF8": "1"}
for name in names:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(here / "scripts/sales.csv", folder)
        command = [sys.executable, str(here / f"scripts/{name}.py")]
        stdout = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True).stdout
    (expected / f"{name}.txt").write_bytes(stdout)
index = {
    "python": platform.python_version(),
    "packages": {package: version(package) for package in PACKAGES},
    "scripts": names,
}
(expected / "index.json").write_text(json.dumps(index, indent=2) + "\n")
