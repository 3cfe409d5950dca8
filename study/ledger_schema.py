"""The columns of the ledger: type, unit, direction and meaning of each, stored in the Parquet files themselves."""

from collections.abc import Callable

import pyarrow as pa

COLUMNS_VERSION = 1
"""Raised when a column of a table is added, removed or redefined; run ids do not depend on it."""

STATUSES = ("done", "diverged", "failed")
"""How a run can end; a failed one (with `error`) may be tried again, the others are results."""
FINAL = ("done", "diverged")

_TIME = pa.timestamp("us", tz="UTC")


def _column(
    name: str, kind: pa.DataType, description: str, *, unit: str = "", direction: str = "", required: bool = False
) -> pa.Field:
    """A column; direction says whether "higher" or "lower" is better, where either is."""
    metadata = {"description": description, "unit": unit, "direction": direction}
    return pa.field(name, kind, nullable=not required, metadata=metadata)


def _accuracy(split: str) -> list[pa.Field]:
    where = f"of the {split} split at the selected step, over the whole split"
    return [
        _column(f"{split}_accuracy", pa.float64(), f"accuracy {where}", unit="fraction", direction="higher"),
        _column(f"{split}_loss", pa.float64(), f"cross-entropy {where}", unit="nats", direction="lower"),
    ]


_IDENTITY = [
    _column("schema_version", pa.int32(), "version of these columns", required=True),
    _column("engine_version", pa.int32(), "version of the training code that made the row", required=True),
    _column("run_id", pa.string(), "first 16 hex digits of SHA-256 of the run's canonical JSON", required=True),
    _column("attempt", pa.string(), "which execution made the row; its curves carry the same value", required=True),
]

# One column per field of RunSpec, in its order.
SPEC_COLUMNS = [
    _column("task", pa.string(), "what is learned", required=True),
    _column("task_args", pa.string(), "arguments of the task as canonical JSON", required=True),
    _column("protocol", pa.string(), "paper: as the released code does; fixed: as it should", required=True),
    _column("body", pa.string(), "architecture between input and output layer", required=True),
    _column("size", pa.string(), "size of the body; null with a checkpoint of its own size"),
    _column("num_layers", pa.int32(), "first layers of the body that are used; null for all", unit="layers"),
    _column("init", pa.string(), "where the body's weights come from", required=True),
    _column("train_set", pa.string(), "trained parameter groups: a preset, or groups joined by +", required=True),
    _column("features", pa.string(), "online, or cached: the body ran once without dropout", required=True),
    _column("num_train_examples", pa.int64(), "size of the training subset; null for all", unit="examples"),
    _column("lr", pa.float64(), "learning rate after the warm-up", required=True),
    _column("batch_size", pa.int32(), "training batch", unit="examples", required=True),
    _column("weight_decay", pa.float64(), "decoupled weight decay", required=True),
    _column("warmup_steps", pa.int64(), "steps of linear warm-up", unit="steps", required=True),
    _column("schedule", pa.string(), "learning rate after the warm-up: constant, cosine or linear", required=True),
    _column("clip_norm", pa.float64(), "largest global gradient norm; null for no clipping"),
    _column("dropout", pa.float64(), "dropout probability at every site", unit="fraction", required=True),
    _column("orthogonal_gain", pa.float64(), "gain of the orthogonal input layer", required=True),
    _column("num_steps", pa.int64(), "gradient steps that were asked for", unit="steps", required=True),
    _column("eval_every_steps", pa.int64(), "steps between two evaluations", unit="steps", required=True),
    _column("precision", pa.string(), "number format of matrix products", required=True),
    _column("seed", pa.int64(), "seed of in/out layers, data order and dropout", required=True),
    _column("body_seed", pa.int64(), "seed of the body's own weights", required=True),
]

_RESULT = [
    _column("status", pa.string(), "done, diverged (a result) or failed (may be tried again)", required=True),
    _column("error", pa.string(), "why the run failed, one line; null unless failed"),
    *_accuracy("valid"),
    *_accuracy("test"),
    *_accuracy("train"),
    _column("selected_step", pa.int64(), "step of best validation accuracy, at which the above hold", unit="steps"),
    _column("num_steps_done", pa.int64(), "gradient steps that were taken", unit="steps"),
    _column("best_valid_accuracy", pa.float64(), "highest validation accuracy", unit="fraction", direction="higher"),
    _column("chance_accuracy", pa.float64(), "accuracy of a uniform guess", unit="fraction"),
    _column("floor_accuracy", pa.float64(), "test accuracy of the best trivial predictor", unit="fraction"),
    _column("num_params_total", pa.int64(), "parameters of the model, embeddings left out", unit="parameters"),
    _column("num_params_trained", pa.int64(), "parameters that the run trained", unit="parameters"),
    _column("train_flops", pa.float64(), "floating-point operations of training, evaluation left out", unit="FLOP"),
    _column(
        "wall_seconds",
        pa.float64(),
        "share of its pack's time in updates",
        unit="s",
        direction="lower",
    ),
]

_ORIGIN = [
    _column(
        "body_key",
        pa.string(),
        "folder under bodies/ with the card of the body it started from; null where that was not to be had",
    ),
    _column("device", pa.string(), "processor or accelerator that trained the run"),
    _column("pack_id", pa.string(), "pack the run was trained in"),
    _column("pack_size", pa.int32(), "runs that were trained together", unit="runs"),
    _column("git_revision", pa.string(), "commit of the code; null outside a checkout"),
    _column("versions", pa.string(), "versions of torch, transformers and ray as canonical JSON"),
    _column("started_at", _TIME, "start of the pack's execution (UTC)"),
    _column("ended_at", _TIME, "end of the run (UTC)", required=True),
]

RUNS = pa.schema([*_IDENTITY, *SPEC_COLUMNS, *_RESULT, *_ORIGIN])
"""One row per run that ended."""

CURVES = pa.schema(
    [
        _column("run_id", pa.string(), "the run, as in the table of runs", required=True),
        _column("attempt", pa.string(), "execution, as in the table of runs", required=True),
        _column("step", pa.int64(), "gradient steps before this evaluation", unit="steps", required=True),
        _column(
            "split",
            pa.string(),
            "valid: whole split; train: the batches since the evaluation before",
            required=True,
        ),
        _column("num_examples", pa.int64(), "examples behind loss and accuracy", unit="examples", required=True),
        _column("loss", pa.float64(), "cross-entropy", unit="nats", direction="lower"),
        _column("accuracy", pa.float64(), "accuracy", unit="fraction", direction="higher"),
        _column("lr", pa.float64(), "learning rate of the last update"),
        _column("examples_per_second", pa.float64(), "training examples per second", unit="1/s", direction="higher"),
        _column("train_flops", pa.float64(), "training operations until this step", unit="FLOP"),
        _column(
            "wall_seconds",
            pa.float64(),
            "share of its pack's time in updates",
            unit="s",
            direction="lower",
        ),
    ]
)
"""One row per evaluation."""


def _list_of(kind: pa.DataType) -> pa.DataType:
    # "element" is what Parquet calls it.
    return pa.list_(pa.field("element", kind, nullable=False))


ATTENTION = pa.schema(
    [
        _column("run_id", pa.string(), "the run, as in the table of runs", required=True),
        _column("attempt", pa.string(), "execution, as in the table of runs", required=True),
        _column("state", pa.string(), "untrained: before any update; selected: at the selected step", required=True),
        _column("query", pa.int32(), "position of the token that attends, one that is read out", required=True),
        _column("num_examples", pa.int32(), "fixed examples behind the means", unit="examples", required=True),
        _column(
            "weights",
            _list_of(pa.float32()),
            "attention to the token at each place, mean over examples and heads; they add up to 1",
            unit="fraction",
            required=True,
        ),
        _column("relevant", _list_of(pa.int32()), "places that matter to this token", required=True),
        _column(
            "uniform",
            pa.float64(),
            "sum of the weights at these places if every token that can be seen had the same",
            unit="fraction",
            required=True,
        ),
        _column(
            "head_masses",
            _list_of(pa.float32()),
            "sum of the weights at these places, head by head, mean over examples",
            unit="fraction",
            required=True,
        ),
    ]
)
"""One row per token that is read out and state of the run, of the first layer of runs whose task has a probe."""

TABLES = {"runs": RUNS, "curves": CURVES, "attention": ATTENTION}
"""Table -> its columns; the tables are folders of the ledger."""

MIGRATIONS: dict[str, dict[int, Callable[[pa.Table], pa.Table]]] = {"runs": {}, "curves": {}, "attention": {}}
"""Table -> version -> what makes the columns of the next version of it; a table that stays as it is has no entry.

For a column that older parts lack: `lambda table: table.append_column(field, pa.nulls(table.num_rows, field.type))`.
The order of columns does not matter, and the reader raises `schema_version`.
"""


def to_table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly this schema; a missing value is null, never a default.

    A key that is no column, or a required column without a value, is our own mistake and fails.
    """
    names, required = set(schema.names), [field.name for field in schema if not field.nullable]
    for row in rows:
        unknown = row.keys() - names
        assert not unknown, f"no such column: {sorted(unknown)}"
        missing = [name for name in required if row.get(name) is None]
        assert not missing, f"required column without a value: {missing}"
    return pa.Table.from_pylist(rows, schema=schema)
