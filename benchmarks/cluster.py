"""What `--cluster ray` costs: seconds to begin and milliseconds a row, against plain `simfarm generate`.

    python benchmarks/cluster.py [--rows 2000] [--latency-ms 50] [--turns 2]

The provider (tests/loopback.py) runs in a process of its own, 64 calls in flight for each worker, every run with a new
store. Whole commands are timed, at a fifth of the rows and at all of them, the best of the turns each: the difference
is the time a row takes, what is left of the shorter run is the time to begin (imports, Ray, the workers).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from simfarm.data.files import read_rows, write_rows

ROOT = Path(__file__).parents[1]
PARTS = 8
"""Of the longer run; parts of the same size make up the shorter one."""

CONTENDERS = {"plain": (), "ray, 1 worker": ("--workers", "1"), "ray, 2 workers": ("--workers", "2")}


def seconds(contender: str, rows: int, size: int, url: str, folder: Path) -> float:
    """Wall time of one command over `rows` instructions that no store knows."""
    turn = tempfile.mkdtemp(dir=folder)
    write_rows(f"{turn}/in.parquet", [{"instruction": f"Say something about the number {i}."} for i in range(rows)])
    command = [sys.executable, "-m", "simfarm", "generate", f"{turn}/in.parquet", "--model", "openai/m"]
    command += ["--base-url", url, "--store", f"{turn}/store.sqlite"]
    out = f"{turn}/out.parquet"
    if CONTENDERS[contender]:
        out = f"{turn}/out"
        command += ["--cluster", "ray", "--partition-rows", str(size), *CONTENDERS[contender]]
    begun = time.perf_counter()
    subprocess.run(
        [*command, "-o", out], env=os.environ | {"OPENAI_API_KEY": "loopback"}, check=True, stderr=subprocess.DEVNULL
    )
    passed = time.perf_counter() - begun
    assert len(read_rows(out)) == rows
    return passed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=2000)
    options.add_argument("--latency-ms", type=float, default=50.0)
    options.add_argument("--turns", type=int, default=2)
    chosen = options.parse_args()
    few, size = chosen.rows // 5, chosen.rows // PARTS
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "loopback.py"), "--latency-ms", str(chosen.latency_ms)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    best: dict[tuple[str, int], float] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(chosen.turns):
                for contender in CONTENDERS:
                    for rows in (few, chosen.rows):
                        taken = seconds(contender, rows, size, url, Path(folder))
                        best[contender, rows] = min(taken, best.get((contender, rows), taken))
    finally:
        server.kill()
        server.wait()
    print(f"{few} and {chosen.rows} rows, parts of {size}, {chosen.latency_ms:g} ms latency, 64 calls in flight each")
    print(f"{'':16}{'whole s':>10}{'ms a row':>10}{'to begin s':>12}")
    for contender in CONTENDERS:
        whole, short = best[contender, chosen.rows], best[contender, few]
        row = (whole - short) / (chosen.rows - few)
        print(f"{contender:16}{whole:>10.1f}{1000 * row:>10.2f}{short - few * row:>12.1f}")


if __name__ == "__main__":
    main()
