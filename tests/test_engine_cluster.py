"""Runs over a Ray cluster of two workers: equal to a plain run, whole after a kill, asked once, never a mixture."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback
from tiny_model import build_tiny_model

from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows
from simfarm.data.records import Instruction
from simfarm.data.sampling import Sampling
from simfarm.errors import InputError
from simfarm.runs.cluster import TRIES, Kit, Pool, Worker, _sizes, model_gpus
from simfarm.runs.generation import GenerationRun
from simfarm.runs.options import RunOptions
from simfarm.runs.parts import cut

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.engines

KEY = "sk-loopback-credential"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """Two CPUs on this machine; gives the folder of Ray's own files. It knows no key: that comes with each run."""
    # short: the path of a socket in it has a limit
    folder = tempfile.mkdtemp(prefix="ray")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
    yield Path(folder)
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    rows = [{"instruction_id": f"q{i}", "instruction": f"Question {i}?", "weight": i / 2} for i in range(20)]
    write_rows("prompts.parquet", rows)


def command(server: Loopback, *more: str, out: str = "out", over: str = "--cluster ray --workers 2") -> list[str]:
    """A generation run over the cluster: four parts of five. Its store is the test's own: servers of two tests may get
    one port, and the later one's questions would be answered already."""
    given = ["generate", "prompts.parquet", "--model", "openai/m", "--base-url", f"{server.url}/v1", "-o", out]
    rows = ["--partition-rows", "5"] if over and "--partition-rows" not in more else []
    store = [] if "--store" in more else ["--store", str(Path("store.sqlite").resolve())]
    return [*given, *over.split(), *rows, *store, *more]


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as every format gives them: nested values as JSON text, absent ones left out, no timing."""
    return [
        {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in row.items() if v is not None}
        | {"seconds": None}
        for row in rows
    ]


def workers_of(process: int) -> list[int]:
    """The pids of the actors among the descendants of a process."""
    parent, named = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                named[int(folder.name)] = (folder / "cmdline").read_bytes()
            except (OSError, IndexError):
                continue

    def descends(pid: int) -> bool:
        return pid == process or (pid in parent and descends(parent[pid]))

    return [pid for pid, name in named.items() if name.startswith(b"ray::MapWorker") and descends(pid)]


def when(condition: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """A thread that acts once, as soon as the condition holds."""

    def watch() -> None:
        while not condition():
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_equals_a_plain_run_and_restarts_by_part(
    cluster: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Loopback() as server:
        assert main(command(server, "--store", "plain.sqlite", out="plain.parquet", over="")) == 0
        assert main(command(server)) == 0
        told = capfd.readouterr()
        assert told.out == ""
        assert "wrote out (4 of 4 parts)" in told.err
        assert "20 outputs by m" in told.err
        assert "20 new answers" in told.err
        plain = read_rows("plain.parquet")
        assert without_time(read_rows("out")) == without_time(plain)
        assert [row["instruction"] for row in plain] == [f"Question {i}?" for i in range(20)]
        parts = sorted(path.name for path in Path("out").glob("*"))
        assert parts == ["manifest.json", *(f"part-0000{i}.parquet" for i in range(4))]
        assert server.received == 40

        # a folder of outputs is read as one file, on either side
        others = [row | {"generator": "other"} for row in plain]
        write_rows("others.json", others)
        for inputs, baseline in (("out", "others.json"), ("others.json", "out")):
            asked = ["annotate", inputs, "--baseline", baseline, "--judge", "longest", "-o", "pairs.jsonl"]
            assert main(asked) == 0
            pairs = read_rows("pairs.jsonl")
            assert [pair["instruction_id"] for pair in pairs] == [f"q{i}" for i in range(20)]
            assert {pair["generator_1"] for pair in pairs} == {"other" if inputs == "out" else "m"}
        capfd.readouterr()

        # a second run has nothing to do
        assert main(command(server)) == 0
        assert capfd.readouterr().err == "4 of 4 parts are there already\n"

        # a part that is gone is made again, it alone, from the store
        before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in parts}
        (tmp_path / "out" / parts[3]).unlink()
        with pytest.raises(InputError, match="lacks 1 of its 4 parts"):
            read_rows("out")
        assert main(command(server)) == 0
        assert "5 outputs by m\n0 new answers, 5 from the store" in capfd.readouterr().err
        after = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in parts}
        assert [name for name in parts if before[name] != after[name]] == [parts[3]]
        assert without_time(read_rows("out")) == without_time(plain)

        # other options or other input would be a mixture
        for more, what in (
            (["--max-tokens", "7"], "another sampling"),
            (["--system", "Be brief."], "another system"),
            (["--n", "2"], "another samples"),
            (["--limit", "19"], "other input"),
            (["--partition-rows", "6"], "another partition rows"),
        ):
            assert main(command(server, *more)) == 2
            told = capfd.readouterr()
            assert what in told.err
            assert "Be brief" not in told.err
        assert server.received == 40
        # the key reached the workers, and nothing that was written down
        assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {KEY}"}
    written = [path for folder in (cluster, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_a_killed_worker_costs_what_was_in_flight(cluster: Path, capfd: pytest.CaptureFixture[str]) -> None:
    killed = []

    def kill() -> None:
        killed.append(workers_of(os.getpid())[0])
        os.kill(killed[0], signal.SIGKILL)

    with Loopback(latency=0.15) as server:
        killer = when(lambda: server.answered >= 6, kill)
        assert main(command(server, "--concurrency", "2")) == 0
        killer.join()
        assert "wrote out (4 of 4 parts)" in capfd.readouterr().err
        assert [row["instruction_id"] for row in read_rows("out")] == [f"q{i}" for i in range(20)]
        assert len(server.asked) == 20
        assert server.received <= 20 + 2
        assert main(command(server, "--store", "plain.sqlite", out="plain.parquet", over="")) == 0
        assert without_time(read_rows("out")) == without_time(read_rows("plain.parquet"))
    assert len(killed) == 1
    assert sorted(path.name for path in Path("out").glob(".*")) == []


def test_a_part_that_kills_its_workers_is_given_up(cluster: Path, capfd: pytest.CaptureFixture[str]) -> None:
    died = []

    def poison(call: Call) -> str | None:
        if "Question 7?" in call.prompt:
            died.extend(workers_of(os.getpid()))
            os.kill(died[-1], signal.SIGKILL)
            return "drop"
        return None

    with Loopback(refuse=poison) as server:
        run = command(server, over="--cluster ray --workers 1")
        assert main(run) == 4
        told = capfd.readouterr().err
        assert "wrote out (3 of 4 parts)" in told
        assert "1 part could not be made" in told
        assert len(set(died)) == TRIES
        server.plan.refuse = lambda call: None
        assert main(run) == 0
    assert "3 of 4 parts are there already" in capfd.readouterr().err
    assert [row["instruction_id"] for row in read_rows("out")] == [f"q{i}" for i in range(20)]


def test_a_failed_record_is_counted_and_tried_again(cluster: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=lambda call: "400" if "Question 7?" in call.prompt else None) as server:
        assert main(command(server)) == 4
        told = capfd.readouterr().err
        assert "19 outputs by m, 1 could not be made" in told
        assert "first for instruction 8 (q7)" in told
        assert len(read_rows("out")) == 19
        server.plan.refuse = lambda call: None
        assert main(command(server)) == 0
        told = capfd.readouterr().err
        assert "3 of 4 parts are there already" in told
        assert "1 new answer " in told
        assert "4 from the store" in told
    assert [row["instruction_id"] for row in read_rows("out")] == [f"q{i}" for i in range(20)]


def test_a_refused_key_ends_the_run_in_one_line(cluster: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=lambda call: "401") as server:
        assert main(command(server)) == 2
    told = capfd.readouterr()
    assert told.err.count("\n") == 1
    assert "key" in told.err
    assert KEY not in told.err + told.out


def test_annotation_equals_a_plain_run(cluster: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = [{"generator_1": "a", "generator_2": "b", "instruction": f"Question {i}?"} for i in range(12)]
    write_rows("pairs.parquet", [p | {"output_1": f"One {i}.", "output_2": f"Two {i}!"} for i, p in enumerate(pairs)])
    with Loopback() as server:
        asked = ["annotate", "pairs.parquet", "--judge", "pairwise-logprob", "--base-url", f"{server.url}/v1"]
        over = [*asked, "--cluster", "ray", "--partition-rows", "4", "-o", "out"]
        assert main([*asked, "--store", "plain.sqlite", "-o", "plain.parquet"]) == 0
        assert main(over) == 0
        assert server.received == 48
        told = capfd.readouterr().err
        assert "24 annotations by pairwise-logprob: 24 verdicts" in told
        assert main(over) == 0
        assert capfd.readouterr().err == "3 of 3 parts are there already\n"
        assert main([*over, "--order", "fixed"]) == 2
        assert "another judge hash" in capfd.readouterr().err
        assert server.received == 48
    assert without_time(read_rows("out")) == without_time(read_rows("plain.parquet"))
    assert main(["evaluate", "plain.parquet", "--baseline", "a", "--length-control", "none", "--json"]) == 0
    whole = json.loads(capfd.readouterr().out)
    for source in (["out"], [str(path) for path in sorted(Path("out").glob("*.parquet"))]):
        assert main(["evaluate", *source, "--baseline", "a", "--length-control", "none", "--json"]) == 0
        board = json.loads(capfd.readouterr().out)
        assert board["models"] == whole["models"]


def test_a_rule_needs_no_model(cluster: Path) -> None:
    pair = {"generator_1": "a", "generator_2": "b", "instruction": "Why?", "output_1": "Because.", "output_2": "So."}
    write_rows("pairs.jsonl", [pair | {"instruction": f"Why {i}?"} for i in range(4)])
    over = ["--cluster", "ray", "--partition-rows", "2", "-o", "out"]
    assert main(["annotate", "pairs.jsonl", "--judge", "longest", *over]) == 0
    assert [row["preference"] for row in read_rows("out")] == [1.0] * 4


def test_a_stopped_driver_leaves_whole_parts_and_no_noise(cluster: Path) -> None:
    with Loopback(latency=0.5) as server:
        run = command(server, "--concurrency", "1")
        # a suite that a shell runs in the background ignores interrupts, and so would its children
        listening = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        listening += "from simfarm.cli import main; sys.exit(main(sys.argv[1:]))"
        driver = subprocess.Popen(
            [sys.executable, "-c", listening, *run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        interrupt = partial(driver.send_signal, signal.SIGINT)
        stopper = when(lambda: len(list(Path("out").glob("*.parquet"))) >= 2, interrupt)
        out, err = driver.communicate(timeout=180)
        stopper.join()
        assert (driver.returncode, out) == (130, "")
        assert err == "simfarm: stopped; answers already given are kept, run the same command to go on\n"
        there = len(list(Path("out").glob("*.parquet")))
        assert 2 <= there < 4
        asked = server.received
        assert main(run) == 0
        assert server.received <= asked + 5 * (4 - there)
    assert [row["instruction_id"] for row in read_rows("out")] == [f"q{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--cluster ray", "name it with -o FOLDER"),
        ("--cluster ray -o out.jsonl", "writes a folder"),
        ("--cluster ray -o prompts.parquet", "writes a folder"),
        ("--cluster ray -o nowhere/out", "does not exist; make it first"),
        ("--cluster ray -o other", "files of something else"),
        ("--cluster ray -o damaged", "manifest.json is damaged"),
        ("--cluster ray -o out --budget 1", "--budget watches"),
        ("--cluster ray -o out --ray-address ray://somewhere:10001", "--ray-address auto"),
        ("--cluster ray -o out --ray-address 127.0.0.1:9", "no Ray cluster at 127.0.0.1:9"),
        ("-o out.jsonl --workers 2", "--workers goes with --cluster ray"),
        ("-o out.jsonl --partition-rows 2", "--partition-rows goes with --cluster ray"),
        ("--cluster spark -o out", "invalid choice: 'spark'"),
        ("--cluster ray -o out --workers 0", "at least 1"),
    ],
)
def test_bad_input_is_one_line(given: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, name in (("other", "notes.txt"), ("damaged", "manifest.json")):
        Path(folder).mkdir()
        Path(folder, name).write_text("{}")
    try:
        status = main(["generate", "prompts.parquet", "--model", "openai/m", *given.split()])
    except SystemExit as stopped:
        status = int(str(stopped.code))
    error = capsys.readouterr().err
    assert status == 2
    assert told in error
    assert error.count("\n") == 1


def test_more_workers_than_room_are_refused(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (["--workers", "3"], ["--gpus-per-worker", "1"]):
        run = ["generate", "prompts.parquet", "--model", "openai/m", "--cluster", "ray", "-o", "out", *more]
        assert main(run) == 2
        assert "the cluster has 2 CPUs and 0 GPUs" in capsys.readouterr().err


def test_a_dry_run_needs_no_ray(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("simfarm.runs.cluster.ray_missing", lambda: "--cluster ray needs: pip install")
    run = ["generate", "prompts.parquet", "--model", "openai/m", "--cluster", "ray", "-o", "out"]
    assert main([*run, "--dry-run"]) == 0
    assert "20 outputs" in capsys.readouterr().out
    assert not Path("out").exists()
    assert main(run) == 2
    assert "pip install" in capsys.readouterr().err


def test_parts_cover_the_records_in_order() -> None:
    records = [Instruction(f"Question {i}?") for i in range(23)]
    parts = cut(records, 5, len)
    assert [asked for part in parts for asked in part.records] == records
    assert [part.start for part in parts] == [0, 5, 10, 15, 20]
    assert [part.rows for part in parts] == [5, 5, 5, 5, 3]
    assert len({part.digest for part in parts}) == 5
    assert cut([Instruction("Question 0?", extra={"weight": 1}), *records[1:]], 5, len)[0].digest != parts[0].digest
    many = [part.name for part in cut(list(range(100_001)), 1, len)]
    assert many == sorted(many)


def test_workers_follow_the_gpus() -> None:
    machine = {"CPU": 16.0, "GPU": 8.0}
    assert _sizes(machine, Pool(), 0, 100) == (2, 0.0)
    assert _sizes(machine, Pool(), 1, 100) == (8, 1.0)
    assert _sizes(machine, Pool(), 4, 100) == (2, 4.0)
    assert _sizes(machine, Pool(gpus=0.5), 1, 100) == (16, 0.5)
    assert _sizes(machine, Pool(workers=3), 1, 100) == (3, 1.0)
    assert _sizes(machine, Pool(), 1, 5) == (5, 1.0)
    assert _sizes({"CPU": 1.0}, Pool(), 1, 100) == (1, 0.0)


def test_a_model_in_process_is_opened_once(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    spec = f"transformers/{build_tiny_model(tmp_path / 'tiny')}"
    instructions = [Instruction(f"Question {i}?") for i in range(4)]
    engine = {"device": "cpu", "dtype": "float32"}
    kept = RunOptions(engine_args=engine, store=tmp_path / "cluster.sqlite")
    run = GenerationRun.open(spec, Sampling(max_tokens=4), kept)
    worker = Worker(pickle.loads(pickle.dumps(Kit(run, tmp_path))))
    opened = []
    for number, part in enumerate(cut(instructions, 2, len)):
        told = worker({"part": number, "name": part.name, "records": pickle.dumps(part.records)})
        tallies = pickle.loads(told["outcome"])
        assert (tallies.stats.asked, tallies.made) == (2, 2)
        opened.append(worker._model)
    assert opened[0] is opened[1] is not None
    kept = RunOptions(engine_args=engine, store=tmp_path / "plain.sqlite")
    plain = GenerationRun.open(spec, Sampling(max_tokens=4), kept)
    assert without_time([made.row() for made in plain.results(instructions)]) == without_time(
        [row for number in range(2) for row in read_rows(tmp_path / f"part-0000{number}.parquet")]
    )

    # other weights under the same name on a worker's machine would be a mixture
    build_tiny_model(tmp_path / "tiny", seed=1)
    stranger = Worker(Kit(run, tmp_path))
    told = pickle.loads(stranger({"part": 0, "name": "x.parquet", "records": pickle.dumps(instructions)})["outcome"])
    assert isinstance(told, InputError)
    assert "bring the same weights to all machines" in str(told)


def test_gpus_of_a_model() -> None:
    for spec, engine, gpus in (
        ("vllm/owner/name", {}, 1),
        ("vllm/owner/name", {"tensor_parallel_size": 4, "data_parallel_size": 2}, 8),
        ("transformers/owner/name", {"device": "cpu"}, 0),
        ("openvino/model.gguf", {}, 0),
    ):
        assert model_gpus(spec, engine) == gpus


def test_caps_are_shared_and_credentials_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
    monkeypatch.setenv("GITHUB_TOKEN", "none of its business")
    run = GenerationRun.open("openai/m", running=RunOptions(rpm=300, tpm=9000))
    kit = Kit(replace(run, options=run.options.shared_by(3)), tmp_path)
    assert (kit.run.options.rpm, kit.run.options.tpm) == (100, 3000)
    assert run.options.rpm == 300
    assert kit.environment == {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    assert model_gpus("openai/m", run.options.engine_args) == 0
