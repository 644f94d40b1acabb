"""Ratings from Parquet files: equal to those from arrays, however the instructions are spread over files."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from tables import verdicts_of

from simfarm.errors import InputError
from simfarm.ranking import BradleyTerry, Matches, bradley_terry, rank_partitions, rate_models

pytest.importorskip("duckdb")

MODELS = tuple(f"model {k}" for k in range(8))


def table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    strength = np.linspace(-1, 1, 8)
    first = rng.integers(8, size=n)
    second = (first + 1 + rng.integers(7, size=n)) % 8
    order = rng.choice([-1, 1], n)
    cluster = rng.integers(n // 10, size=n)
    lean = rng.standard_normal(n // 10)[cluster]
    p = expit(strength[second] - strength[first] + 0.4 * order + lean + rng.standard_normal(n))
    return pd.DataFrame(
        {
            "model_1": np.array(MODELS)[first],
            "model_2": np.array(MODELS)[second],
            "p": np.where(rng.random(n) < 0.5, p.round(), p),
            "cluster": [f"instruction {c}" for c in cluster],
            "weight": rng.choice([0.0, 1.0, 2.5], n),
            "order": order,
        }
    )


def from_arrays(rows: pd.DataFrame) -> BradleyTerry:
    code = {name: k for k, name in enumerate(MODELS)}
    return bradley_terry(
        Matches(
            MODELS,
            rows["model_1"].map(code).to_numpy(),
            rows["model_2"].map(code).to_numpy(),
            rows["p"].to_numpy(),
            pd.factorize(rows["cluster"])[0],
            weight=rows["weight"].to_numpy() if "weight" in rows else None,
            order=rows["order"].to_numpy() if "order" in rows else None,
        )
    )


def write(rows: pd.DataFrame, folder: Path, n_files: int) -> list[Path]:
    part = rows["cluster"].map(hash) % n_files
    files = []
    for k in range(n_files):
        files.append(folder / f"part-{n_files}-{k}.parquet")
        rows[part == k].to_parquet(files[-1])
    return files


@pytest.mark.parametrize("columns", [[], ["weight"], ["order"], ["weight", "order"]])
def test_twenty_partitions_equal_one_file_and_the_arrays(tmp_path: Path, columns: list[str]) -> None:
    rows = table(20_000)[["model_1", "model_2", "p", "cluster", *columns]]
    one, many = rank_partitions(write(rows, tmp_path, 1)), rank_partitions(write(rows, tmp_path, 20))
    np.testing.assert_allclose(many.values, one.values, atol=1e-9, rtol=0)
    np.testing.assert_allclose(many.covariance, one.covariance, atol=1e-9, rtol=0)
    whole = from_arrays(rows)
    assert many.n_comparisons == whole.n_comparisons
    assert many.n_clusters == whole.ratings[MODELS[0]].n_clusters
    assert list(many.estimates) == [*whole.ratings, *whole.slopes]
    found = many.estimates
    for name, expected in (whole.ratings | whole.slopes).items():
        assert found[name].value == pytest.approx(expected.value, abs=1e-9)
        assert found[name].standard_error == pytest.approx(expected.standard_error, abs=1e-9)
        assert found[name].interval() == pytest.approx(expected.interval(), abs=1e-9)
    gap, expected = (e[MODELS[0]] - e[MODELS[5]] for e in (found, whole.ratings))
    assert gap.standard_error == pytest.approx(expected.standard_error, abs=1e-9)
    assert gap.p_value() == pytest.approx(expected.p_value(), abs=1e-9)


def test_clusters_that_straddle_batches_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # DuckDB's smallest batch is 2,048 rows; one instruction holds 9,000 of these 12,000.
    rows = table(12_000)[["model_1", "model_2", "p", "cluster"]]
    rows.loc[rows.index >= 3000, "cluster"] = "the long one"
    monkeypatch.setattr("simfarm.ranking.partitions._BATCH", 2048)
    found = rank_partitions(write(rows, tmp_path, 1)).estimates
    for name, expected in from_arrays(rows).ratings.items():
        assert found[name].standard_error == pytest.approx(expected.standard_error, abs=1e-9)


def test_a_model_that_never_lost_is_treated_as_in_memory(tmp_path: Path) -> None:
    rows = table(2_000)[["model_1", "model_2", "p", "cluster"]]
    rows.loc[rows["model_2"] == MODELS[7], "p"] = 1.0
    rows.loc[rows["model_1"] == MODELS[7], "p"] = 0.0
    many, whole = rank_partitions(write(rows, tmp_path, 3)), from_arrays(rows)
    assert many.prior
    assert whole.prior
    for name, expected in whole.ratings.items():
        assert many.estimates[name].value == pytest.approx(expected.value, abs=1e-6)
        assert many.estimates[name].standard_error == pytest.approx(expected.standard_error, rel=1e-6)
        assert many.estimates[name].has_limits == expected.has_limits == (name == MODELS[7], name != MODELS[7])


def test_an_instruction_in_two_files_is_refused(tmp_path: Path) -> None:
    rows = table(1_000)
    rows[:500].to_parquet(tmp_path / "a.parquet")
    rows[500:].to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"'instruction .* is in more than one file"):
        rank_partitions([tmp_path / "a.parquet", tmp_path / "b.parquet"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("p", np.nan, "p (nan|None)"),
        ("p", 1.2, r"p 1.2; preferences lie in \[0, 1\]"),
        ("weight", -1.0, "weight -1.0"),
        ("weight", np.inf, "weight inf"),
        ("order", 2, '"order" 2'),
        ("cluster", None, "cluster None"),
        ("model_1", None, "model_1 None"),
    ],
)
def test_a_bad_value_is_named_with_its_file(tmp_path: Path, column: str, value: object, message: str) -> None:
    rows = table(200)
    rows.loc[7, column] = value
    rows.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=message) as caught:
        rank_partitions([tmp_path / "bad.parquet"])
    assert "bad.parquet" in str(caught.value)


def test_bad_files(tmp_path: Path) -> None:
    rows = table(200)
    with pytest.raises(InputError, match="no Parquet file"):
        rank_partitions([tmp_path / "absent.parquet"])
    with pytest.raises(InputError, match="no Parquet files"):
        rank_partitions([])
    rows.drop(columns="cluster").to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column 'cluster'"):
        rank_partitions([tmp_path / "a.parquet"])
    rows.assign(cluster="one").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="1 instruction"):
        rank_partitions([tmp_path / "b.parquet"])
    rows.drop(columns="order").to_parquet(tmp_path / "c.parquet")
    rows.assign(cluster="other").to_parquet(tmp_path / "d.parquet")
    with pytest.raises(InputError, match="differ in their columns"):
        rank_partitions([tmp_path / "c.parquet", tmp_path / "d.parquet"])
    rows[rows["model_1"].isin(MODELS[:4]) == rows["model_2"].isin(MODELS[:4])].to_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match="2 parts"):
        rank_partitions([tmp_path / "e.parquet"])
    with pytest.raises(InputError, match="memory limit of much"):
        rank_partitions([tmp_path / "b.parquet"], memory_limit="much")
    (tmp_path / "f.parquet").write_text("not parquet")
    with pytest.raises(InputError, match=r"memory limit of 1GB: .*f\.parquet"):
        rank_partitions([tmp_path / "f.parquet"])


def test_without_duckdb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(200).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match=r"pip install 'simfarm\[duckdb\]'"):
        rank_partitions([tmp_path / "a.parquet"])


def test_whether_both_orders_were_to_be_asked_is_told_by_all_groups(tmp_path: Path) -> None:
    pair = {"annotator": "j", "judge_hash": "h", "generator_1": "a", "generator_2": "b", "repeat": 0}
    pair |= {"output_1": "x", "output_2": "y", "status": "verdict"}
    rows = [pair | {"instruction_id": str(i), "order": "12", "preference": 1.0 + (i % 5 < 3)} for i in range(200)]
    rows += [pair | {"instruction_id": str(i), "order": "21", "preference": 2.0} for i in range(200) if i % 9 < 4]
    for k in range(2):
        pd.DataFrame(rows[k::2]).to_parquet(tmp_path / f"part-{k}.parquet")
    files = [tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"]
    assert rank_partitions(files).n_comparisons == 200
    [rated] = rate_models(verdicts_of(pd.DataFrame(rows)), "bradley-terry")
    assert rank_partitions(files).estimates["a"].value == pytest.approx(rated.estimates["a"].value)


@pytest.mark.parametrize(("twice", "counted"), [(45, 45), (0, 100)])
def test_the_order_that_the_parts_record_wins_over_the_majority(tmp_path: Path, twice: int, counted: int) -> None:
    """Also where the parts have one order alone, which then counts as it does in memory."""
    pair = {"annotator": "j", "judge_hash": "h", "judge_order": "both", "generator_1": "a", "generator_2": "b"}
    pair |= {"output_1": "x", "output_2": "y", "status": "verdict", "repeat": 0}
    rows = [pair | {"instruction_id": str(i), "order": "12", "preference": 1.0 + (i % 5 < 3)} for i in range(100)]
    rows += [pair | {"instruction_id": str(i), "order": "21", "preference": 1.0 + (i % 2)} for i in range(twice)]
    older = pair | {"generator_2": "c", "judge_order": None}
    rows += [older | {"instruction_id": str(i), "order": "12", "preference": 1.0 + (i % 3 < 1)} for i in range(20)]
    for k in range(2):
        pd.DataFrame(rows[k::2]).to_parquet(tmp_path / f"part-{k}.parquet")
    found = rank_partitions([tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"])
    [rated] = rate_models(verdicts_of(pd.DataFrame(rows)), "bradley-terry")
    assert found.n_comparisons == counted + 20
    assert found.estimates["b"].value == pytest.approx(rated.estimates["b"].value)
