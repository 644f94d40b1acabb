"""Bradley-Terry past one machine's memory: the same ratings from Parquet files, through DuckDB.

Two passes. Pair counts are sufficient for the ratings; the sandwich then needs, from every file, the sum over its
clusters of pull × pullᵀ, an M × M matrix. DuckDB hands a file over sorted by cluster, on disk where it must, so that
a cluster's pull is summed and forgotten: which is why no instruction may be spread over two files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from simfarm.errors import InputError
from simfarm.ranking.regrouped import regrouped
from simfarm.statistics.bradley_terry import SHOWN_FIRST, elo_scale
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.leverage import Pulls, pulls
from simfarm.statistics.logistic import Codes, Fit, Rows, fit_rows, require_connected, unseen
from simfarm.statistics.separation import endless
from simfarm.text.words import plural

if TYPE_CHECKING:
    import duckdb

__all__ = ["PartitionedRanking", "rank_partitions"]

_BATCH = 1 << 17


@dataclass(frozen=True)
class PartitionedRanking:
    """What `BradleyTerry` says, with covariances in place of influences.

    `names` are the models, then `shown_first` where the files have an order. `values` are ratings on the Elo scale
    (mean 1000), then the slope in logits; `covariance` is theirs, `freedom` the degrees of freedom of each, `endless`
    the terms (C for each) of what no verdict limits, as in `Estimate`.
    """

    models: tuple[str, ...]
    names: tuple[str, ...]
    values: Array
    covariance: Array
    freedom: Array
    endless: Array
    n_comparisons: int
    n_clusters: int
    prior: bool

    @property
    def estimates(self) -> dict[str, Estimate]:
        """An `Estimate` for each of `names`; they subtract as those of `bradley_terry` do.

        The clusters' influences are gone, so their joint variation is carried by `shared` terms (the covariance's
        square root) over G clusters of influence zero.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        nothing, ids = np.broadcast_to(0.0, self.n_clusters), np.arange(self.n_clusters)
        return {
            name: Estimate(
                float(self.values[k]),
                nothing,
                ids,
                rate=False,
                shared=root[k],
                freedom=float(self.freedom[k]),
                endless=self.endless[k],
            )
            for k, name in enumerate(self.names)
        }


def rank_partitions(files: Sequence[str | Path], *, memory_limit: str = "1GB") -> PartitionedRanking:
    """Ratings from Parquet files with columns model_1, model_2, p, cluster and, where known, weight and order.

    The columns mean what they mean in `Matches`, models by name. Annotation files of one judge are taken too, their
    orders and repeats averaged, whichever file an instruction lies in (see `regrouped`).
    Beyond DuckDB's `memory_limit` the memory is that
    of the M² counts and of one batch of rows. Raises `InputError` without the extra `duckdb`, for files that lack a
    column, for values no fit could use, for a cluster found in two files, and as `bradley_terry` does.
    """
    paths = [str(f) for f in files]
    missing = [p for p in paths if not Path(p).is_file()]
    if missing or not paths:
        raise InputError(f"no Parquet file {missing[0]!r}" if missing else "no Parquet files were given to rank")
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise InputError("ranking from partitions needs DuckDB: pip install 'simfarm[duckdb]'") from error
    try:
        with duckdb.connect(config={"memory_limit": memory_limit}) as connection, TemporaryDirectory() as folder:
            if _holds_annotations(connection, paths[0]):
                paths = regrouped(paths, Path(folder))
            return _rank(connection, paths)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"DuckDB cannot rank these files with a memory limit of {memory_limit}: {reason}") from error


def _holds_annotations(connection: duckdb.DuckDBPyConnection, path: str) -> bool:
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet($1)", [[path]]).fetchall()
    return "preference" in {row[0] for row in described} and "p" not in {row[0] for row in described}


def _rank(connection: duckdb.DuckDBPyConnection, paths: list[str]) -> PartitionedRanking:
    columns = _columns(connection, paths)
    _check(connection, paths, columns)
    table = _counts(connection, paths, columns)
    models = tuple(sorted({*table["model_1"], *table["model_2"]}))
    if len(models) < 2:
        raise InputError("only one model was compared; a ranking needs at least two")
    n_models = len(models)
    code = {name: k for k, name in enumerate(models)}
    first, second = (np.array([code[m] for m in table[side]], dtype=np.int64) for side in ("model_1", "model_2"))
    pair = first * n_models + second
    require_connected(pair, models)
    x = table["shown"].astype(np.float64)[:, None] if "order" in columns else np.empty((len(pair), 0))
    names = (SHOWN_FIRST,) if "order" in columns else ()
    n = int(table["n"].sum())
    unit = float(table["weight"].sum()) / n
    sums = Rows(pair, table["weight"], table["won"], x)
    fit = fit_rows(sums, n_models, names, unit=unit)
    connection.execute("CREATE TABLE models (name VARCHAR, code BIGINT)")
    connection.executemany("INSERT INTO models VALUES (?, ?)", [[name, k] for name, k in code.items()])
    n_clusters = _n_clusters(connection, paths, columns)
    if n_clusters < 2:
        raise InputError(
            f"all comparisons belong to {plural(n_clusters, 'instruction')}; an interval needs at least two"
        )
    product, total = np.zeros_like(fit.bread), np.zeros(len(fit.params))
    shares, squares, n_large = np.zeros(len(total)), np.zeros(len(total)), 0
    for path in paths:
        for found in _pulls(connection, path, columns, fit, (n_models, n_clusters)):
            product += found.changes @ found.changes.T
            total += found.changes.sum(axis=1)
            shares, squares, n_large = shares + found.shares, squares + found.squares, n_large + found.n_large
    if fit.prior:
        product -= np.outer(total, total) / n_clusters
    extra = unseen(fit, n_models, pair, table["weight"], unit)
    covariance = product * (n_clusters / (n_clusters - 1)) + extra @ extra.T
    values, scale = elo_scale(fit, n_models)
    return PartitionedRanking(
        models=models,
        names=models + names,
        values=values,
        covariance=covariance * np.outer(scale, scale),
        freedom=Pulls(product, shares, squares, n_large).freedom(n_clusters),
        endless=endless(sums, n_models, fit, unit),
        n_comparisons=n,
        n_clusters=n_clusters,
        prior=fit.prior > 0,
    )


def _columns(connection: duckdb.DuckDBPyConnection, paths: list[str]) -> frozenset[str]:
    """The columns that every file has; those of the first file where all agree."""
    shared: set[str] | None = None
    for path in paths:
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet($1)", [[path]]).fetchall()
        names = {str(row[0]) for row in described}
        for column in ("model_1", "model_2", "p", "cluster"):
            if column not in names:
                raise InputError(f"{path} has no column {column!r}; partitions need model_1, model_2, p and cluster")
        optional = names & {"weight", "order"}
        if shared is not None and optional != shared:
            raise InputError(f"{path} and {paths[0]} differ in their columns weight and order; give all files the same")
        shared = optional
    return frozenset(shared or ())


def _check(connection: duckdb.DuckDBPyConnection, paths: list[str], columns: frozenset[str]) -> None:
    """Raises `InputError` for the first value no fit could use, and for an instruction spread over files."""
    weight, order = _terms(columns)
    faults = (
        ("p", "p IS NULL OR NOT (p >= 0 AND p <= 1)", "preferences lie in [0, 1]; drop the row or recode it"),
        (weight, f"{weight} IS NULL OR {weight} < 0 OR NOT isfinite({weight}::DOUBLE)", "weights are 0 or more"),
        (order, f"{order} IS NULL OR {order} NOT IN (-1, 0, 1)", "it is 1, -1 or 0 as in Matches"),
        *((c, f"{c} IS NULL", "every comparison needs one") for c in ("cluster", "model_1", "model_2")),
    )
    for column, fault, remedy in faults:
        row = connection.execute(
            f"SELECT filename, {column} FROM read_parquet($1, filename = true) WHERE {fault} LIMIT 1", [paths]
        ).fetchone()
        if row:
            raise InputError(f"{row[0]} has a row with {column} {row[1]}; {remedy}")
    row = connection.execute(
        "SELECT cluster FROM read_parquet($1, filename = true) GROUP BY cluster "
        "HAVING min(filename) <> max(filename) LIMIT 1",
        [paths],
    ).fetchone()
    if row:
        raise InputError(f"cluster {row[0]!r} is in more than one file; write each instruction to one partition only")


def _terms(columns: frozenset[str]) -> tuple[str, str]:
    """SQL for the weight and the order of a row."""
    return ("weight" if "weight" in columns else "1.0"), ('"order"' if "order" in columns else "0")


def _counts(connection: duckdb.DuckDBPyConnection, paths: list[str], columns: frozenset[str]) -> dict[str, np.ndarray]:
    weight, order = _terms(columns)
    result = connection.execute(
        f"SELECT model_1, model_2, {order} AS shown, count(*) AS n, sum({weight})::DOUBLE AS weight, "
        f"sum({weight} * p)::DOUBLE AS won FROM read_parquet($1) WHERE {weight} > 0 GROUP BY ALL ORDER BY ALL",
        [paths],
    ).fetchnumpy()
    if not len(result["n"]):
        raise InputError("the files hold no comparison with a weight above 0; there is nothing to rank")
    return {name: np.asarray(column) for name, column in result.items()}


def _n_clusters(connection: duckdb.DuckDBPyConnection, paths: list[str], columns: frozenset[str]) -> int:
    """The clusters that carry weight; each lies in one file."""
    weight, _ = _terms(columns)
    counted = f"SELECT count(DISTINCT cluster) FROM read_parquet($1) WHERE {weight} > 0"
    return int(connection.execute(counted, [paths]).fetchall()[0][0])


def _pulls(
    connection: duckdb.DuckDBPyConnection, path: str, columns: frozenset[str], fit: Fit, counts: tuple[int, int]
) -> Iterator[Pulls]:
    """The pulls of the file's clusters, some at a time, each with all of its rows; `counts` are models and clusters."""
    weight, order = _terms(columns)
    n_models, _ = counts
    reader = connection.sql(
        f"SELECT a.code * {n_models} + b.code AS pair, dense_rank() OVER (ORDER BY cluster) AS rank, "
        f"{weight}::DOUBLE AS weight, p::DOUBLE AS p, {order}::DOUBLE AS shown FROM read_parquet($1) r "
        f"JOIN models a ON a.name = r.model_1 JOIN models b ON b.name = r.model_2 WHERE {weight} > 0 ORDER BY rank",
        params=[[path]],
    ).to_arrow_reader(_BATCH)
    waiting: list[list[np.ndarray]] = []
    for batch in reader:
        part = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        whole = int(np.searchsorted(part[1], part[1][-1]))
        if whole or (waiting and waiting[-1][1][-1] != part[1][0]):
            yield _pulls_of([*waiting, [column[:whole] for column in part]], columns, fit, counts)
            waiting = []
        waiting.append([column[whole:] for column in part])
    if waiting:
        yield _pulls_of(waiting, columns, fit, counts)


def _pulls_of(parts: list[list[np.ndarray]], columns: frozenset[str], fit: Fit, counts: tuple[int, int]) -> Pulls:
    pair, rank, weights, p, shown = (np.concatenate(column) for column in zip(*parts, strict=True))
    x = shown[:, None] if "order" in columns else np.empty((len(p), 0))
    cluster: Codes = rank - rank[0]
    rows = Rows(pair, weights, weights * p, x)
    return pulls(rows, counts[0], fit, cluster, int(cluster[-1]) + 1, of=counts[1])
