"""How many verdicts twelve providers give, with how many requests, and how their stops are told, beside an earlier
simfarm.

Each provider is a server on the loopback interface that refuses, thinks, throttles and bills as its pages say
(tests/providers.yaml). Every model of each is asked by every bundled judge: 200 comparisons, one order each, 64 calls
in flight, an empty store. Then each provider refuses every call, for each reason that no row can pass (a wrong key, no
credit, a retired model …). What is counted is counted by the server.

    python benchmarks/providers.py                            # a table on stdout
    python benchmarks/providers.py --before 4be0f52 -o FILE   # beside that commit's code, in a worktree made for it
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

JUDGES = ("pairwise-reasoned", "pairwise-json", "pairwise-letter", "pairwise-logprob")
ROWS = 200


def measure(names: list[str]) -> None:
    """One JSON line for each provider, model and judge, with the simfarm that this process imports."""
    from providers import PROVIDERS
    from speaker import Speaker, ask

    for name in names or list(PROVIDERS):
        provider = PROVIDERS[name]
        for model in provider.models:
            for judge in JUDGES:
                with tempfile.TemporaryDirectory() as folder, Speaker(provider) as server:
                    started = time.perf_counter()
                    run = ask(server, model, judge, Path(folder) / "run", rows=ROWS)
                    row = {
                        "provider": name,
                        "model": model,
                        "judge": judge,
                        "possible": ROWS if provider.gives(model, judge) else 0,
                        "verdicts": run.verdicts,
                        "requests": server.received,
                        "paid": server.paid.total(),
                        "again": server.paid.total() - min(ROWS, len(server.paid)),
                        "seconds": round(time.perf_counter() - started, 2),
                    }
                print(json.dumps(row), flush=True)


def measure_stops(names: list[str]) -> None:
    """One JSON line for each reason for which a provider refuses every call: whether the run ended in one line that
    holds the provider's own words, and after how many requests."""
    from providers import PROVIDERS
    from speaker import Speaker, ask

    for name in names or list(PROVIDERS):
        provider = PROVIDERS[name]
        for stop, said in provider.stops.items():
            model = "no-such-model" if stop == "model" else next(iter(provider.models))
            key = {"key": "sk-bad-0123456789abcdefghij"} if stop == "key" else {}
            refuse = None if stop in ("model", "key") else stop
            with tempfile.TemporaryDirectory() as folder, Speaker(provider, stop=refuse) as server:
                run = ask(server, model, JUDGES[0], Path(folder) / "run", rows=ROWS, **key)
                lines = [line for line in run.said.splitlines() if line.startswith("simfarm: ")]
                worded = len(lines) == 1 and said.reason.replace("{model}", model) in lines[0]
                row = {
                    "provider": name,
                    "stop": stop,
                    "ended": run.code in (1, 2),
                    "worded": run.code in (1, 2) and worded,
                    "requests": server.received,
                }
            print(json.dumps(row), flush=True)


def measured(code: Path, names: list[str]) -> list[dict[str, Any]]:
    """The same by the simfarm of a checkout, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", *names]
    environment = os.environ | {"PYTHONPATH": str(code)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def summed(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    """By provider and judge, over the provider's models."""
    sums: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        keys = [(row["provider"], row["judge"].removeprefix("pairwise-")), ("all", "")]
        for key in keys:
            for name in ("possible", "verdicts", "requests", "paid", "again", "seconds"):
                sums[key][name] += row[name]
            sums[key]["models"] += 1
    return dict(sums)


def table(columns: dict[str, list[dict[str, Any]]]) -> list[str]:
    """One line for each provider and judge; `columns` are the runs by the name of the code."""
    tables = {name: summed(rows) for name, rows in columns.items()}
    latest = list(tables.values())[-1]
    heads = [f"{what}, {name}" for name in tables for what in ("verdicts", "requests", "paid again", "s")]
    lines = ["| provider | judge | models | could give | " + " | ".join(heads) + " |"]
    lines.append("|---|---|" + "---:|" * (2 + len(heads)))
    order = sorted(latest, key=lambda key: key[0] == "all")
    for key in order:
        cells = [*key, str(latest[key]["models"]), f"{latest[key]['possible']:,}"]
        for sums in tables.values():
            one = sums[key]
            cells += [f"{one['verdicts']:,}", f"{one['requests']:,}", f"{one['again']:,}", f"{one['seconds']:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def stops_table(columns: dict[str, list[dict[str, Any]]]) -> list[str]:
    """One line for each provider: its reasons to refuse every call, and how the runs that met them ended."""
    heads = [f"{what}, {name}" for name in columns for what in ("ended", "in its words", "requests")]
    lines = ["| provider | reasons | " + " | ".join(heads) + " |", "|---|" + "---:|" * (1 + len(heads))]
    names = list(dict.fromkeys(row["provider"] for row in next(iter(columns.values()))))
    for name in [*names, "all"]:
        cells = [name]
        for rows in columns.values():
            own = [row for row in rows if name in ("all", row["provider"])]
            cells += [str(len(own))] if len(cells) == 1 else []
            cells += [f"{sum(row[what] for row in own):,}" for what in ("ended", "worded", "requests")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="PROVIDER", help="only these")
    options.add_argument("--before", metavar="COMMIT", help="measure that commit's code too")
    options.add_argument("-o", dest="output", type=Path, metavar="FILE")
    options.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.measure:
        measure(chosen.names)
        measure_stops(chosen.names)
        return
    columns = {}
    if chosen.before:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "before"
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "--detach", str(tree), chosen.before], check=True, capture_output=True)
            try:
                columns[chosen.before] = measured(tree, chosen.names)
            finally:
                subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)
    columns["now"] = measured(ROOT, chosen.names)
    lines = table({name: [row for row in rows if "judge" in row] for name, rows in columns.items()})
    lines += ["", *stops_table({name: [row for row in rows if "stop" in row] for name, rows in columns.items()})]
    print("\n".join(lines))
    if chosen.output:
        chosen.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
