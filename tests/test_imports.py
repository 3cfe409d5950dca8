"""Which package may import which: read from the source, and checked on what really gets loaded.

tasks -> numpy, torch     models -> torch, transformers     analysis -> the ledger     ray only where trials run
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("study", "tasks", "models", "analysis")
RAY = {
    "study.cluster",
    "study.launch",
    "study.capacity",
    "study.rounds",
    "study.trainable",
    "study.trials",
    "study.search",
    "study.search_trainable",
}
# Identity, storage and selection of runs: loaded by every command and by the analysis.
LIGHT = {
    "study.errors", "study.inits", "study.spec", "study.spec_checks", "study.storage", "study.ledger",
    "study.ledger_marker", "study.ledger_parts", "study.ledger_schema", "study.ledger_rows", "study.ledger_reading",
    "study.ledger_compaction",
    "study.storage_local", "study.storage_objects", "study.processes", "study.lease", "study.driver_lock",
    "study.packing", "study.selection", "study.grids", "study.grids.quickstart", "study.grids.smoke",
    "study.grids.cells", "study.grids.variants", "study.grids.tables", "study.grids.paper_settings",
    "study.grids.paper_models", "study.grids.paper_training", "study.grids.critique", "study.grids.tuning",
    "study.tuned", "study.search_space", "study.search_overrides", "study.search_rungs", "study.search_targets",
    "study.search_rows",
    "study.grids.scaling", "study.grids.scaling_settings",
}  # fmt: skip
# Generators of measurements: no files, no trials.
MEASURING = {
    "study.training", "study.pretrain", "study.pretraining_model", "study.pretraining_steps", "study.assemble",
    "study.batches", "study.optimiser", "study.measurements", "study.cached", "study.first_attention",
}  # fmt: skip
HEAVY = ("torch", "transformers", "ray", "pandas", "plotly", "optuna", "sklearn", "scipy", "rich")


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too; not what only the type checker reads."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else str(node.module) for name in names)


IMPORTS = {name: set(imports_of(path)) for name, path in MODULES.items()}


def tops(name: str) -> set[str]:
    return {imported.partition(".")[0] for imported in IMPORTS[name]}


def of_package(package: str) -> list[str]:
    return [name for name in MODULES if name.partition(".")[0] == package]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("tasks", {"models", "study", "analysis", "transformers", "ray", "pyarrow", "torchvision", "tensorflow"}),
        ("models", {"tasks", "study", "analysis", "ray", "pyarrow"}),
        ("analysis", {"ray", "torch", "transformers"}),
        ("study", {"torchvision", "tensorflow"}),
    ],
)
def test_packages_know_only_what_they_may(package: str, forbidden: set[str]) -> None:
    found = {name: tops(name) & forbidden for name in of_package(package)}
    assert not {name: names for name, names in found.items() if names}


def test_ray_is_imported_only_where_trials_run() -> None:
    assert {name for name in MODULES if "ray" in tops(name)} <= RAY


def test_analysis_sees_the_ledger_and_the_name_tables_only() -> None:
    allowed = {
        "tasks",
        "models",
        "models.sizes",
        "study.ledger",
        "study.ledger_schema",
        "study.spec",
        "study.grids",
        "study.grids.cells",
        "study.grids.tables",
        "study.grids.paper_settings",
        "study.tuned",
        "study.errors",
        "study.storage",
        "study.search_rows",
        "study.search_targets",
    }
    seen = {imported for name in of_package("analysis") for imported in IMPORTS[name]}
    assert {name for name in seen if name.partition(".")[0] in ("study", "tasks", "models")} <= allowed


def test_nobody_but_the_command_line_imports_the_analysis() -> None:
    users = {name for name in MODULES if "analysis" in tops(name)} - set(of_package("analysis"))
    assert users <= {"study.commands", "study.listing"}


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_light_modules_need_the_standard_library_pyarrow_and_the_name_tables(name: str) -> None:
    others = {
        imported
        for imported in IMPORTS[name]
        if imported.partition(".")[0] not in sys.stdlib_module_names and imported.partition(".")[0] != "pyarrow"
    }
    assert others <= LIGHT | {"models", "models.sizes", "tasks"}


@pytest.mark.parametrize("name", sorted(MEASURING))
def test_measuring_knows_neither_trials_nor_the_ledger(name: str) -> None:
    assert not IMPORTS[name] & (RAY | {"study.ledger", "study.storage", "study.bodies", "study.execution"})


def loaded_by(*names: str) -> set[str]:
    """Top-level packages that a fresh process has loaded after importing these modules."""
    code = (
        f"import {', '.join(names)}, sys, json; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


def test_light_modules_load_nothing_heavy() -> None:
    assert not loaded_by(*sorted(LIGHT)) & set(HEAVY)


def test_the_command_line_loads_nothing_heavy() -> None:
    assert not loaded_by("study.__main__") & {*HEAVY, "pyarrow", "numpy"}


def test_reading_results_loads_neither_ray_nor_torch() -> None:
    assert not loaded_by("analysis.load") & {"ray", "torch", "transformers"}


def test_training_works_where_ray_and_plotly_are_absent() -> None:
    assert not loaded_by("study.training", "tasks.catalogue") & {"ray", "optuna", "plotly", "pandas"}
