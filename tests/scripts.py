"""Scripts of the checkout, run in the test's own process: to start Python and import PyTorch costs seconds."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from types import ModuleType
from unittest.mock import patch


@cache
def script(path: Path) -> ModuleType:
    """The script as a module, imported once."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def run_here(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `python path arguments` gives: exit status, standard output and standard error."""
    out, told, status = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", [str(path), *arguments]), redirect_stdout(out), redirect_stderr(told):
        try:
            script(path).main()
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess([str(path), *arguments], status, out.getvalue(), told.getvalue())
