"""What was asked for: the runs of every launch, from OUT/manifest/, against which a result can be missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from study.errors import UserError, one_line
from study.ledger_schema import RUNS, SPEC_COLUMNS
from study.spec import RunSpec
from study.storage import Storage

_SCHEMA = pa.schema([RUNS.field("run_id"), *SPEC_COLUMNS])


@dataclass(frozen=True)
class Asked:
    """What the launches of a ledger asked for.

    Attributes:
        missing: runs without a row: run_id and the columns of a run's specification.
        tuned: ids of the runs whose settings a search found, those excepted that some launch asked for as specified.
        both: those excepted: what a search found best was what the grid has.
        grids: ids of the runs of each grid, by its name.
        problems: one line for each manifest that cannot be read, or that another version of the program wrote.
    """

    missing: pd.DataFrame
    tuned: frozenset[str]
    both: frozenset[str]
    grids: Mapping[str, frozenset[str]]
    problems: tuple[str, ...]


def read(storage: Storage, have: set[str]) -> Asked:
    """The manifests of a ledger.

    Args:
        storage: of the ledger.
        have: run ids that have a row.
    """
    rows: dict[str, dict] = {}
    tuned: set[str] = set()
    as_specified: set[str] = set()
    grids: dict[str, set[str]] = {}
    problems = []
    names = storage.names("manifest")
    for name in names:
        try:
            document = json.loads(storage.read(f"manifest/{name}"))
            runs, found = document["runs"], set(document.get("tuned", ()))
            ids = {run["run_id"] for run in runs}
            grids.setdefault(str(document.get("grid", name)), set()).update(ids)
            tuned |= found
            as_specified |= ids - found
            wanted = [run for run in runs if run["run_id"] not in have]
            specs = [RunSpec.from_json(json.dumps(_without(run, "run_id"))) for run in wanted]
        except UserError as error:
            problems.append(f"manifest/{name}: {one_line(error)}; which of its runs are missing is not known")
        except (OSError, ValueError, LookupError, TypeError) as error:
            problems.append(f"manifest/{name} cannot be read ({type(error).__name__}); its missing runs are not known")
        else:
            rows |= {spec.run_id: {"run_id": spec.run_id, **spec.as_columns()} for spec in specs}
    if not names:
        problems.append("no manifest: which runs were asked for, and so which are missing, is not known")
    missing = pa.Table.from_pylist(list(rows.values()), schema=_SCHEMA).to_pandas()
    named = {name: frozenset(ids) for name, ids in grids.items()}
    return Asked(missing, frozenset(tuned - as_specified), frozenset(tuned & as_specified), named, tuple(problems))


def _without(run: dict, name: str) -> dict:
    return {key: value for key, value in run.items() if key != name}
