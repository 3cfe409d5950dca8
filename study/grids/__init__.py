"""Grids: named functions that return runs. This table is the only registry, imported on use.

A grid of one's own needs no entry: `path/to/file.py:function` names any function that returns `RunSpec`s.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from study.errors import UserError, one_line, unknown_name
from study.spec import RunSpec

# Table 15 is a part of table 19.
_TABLES = tuple(number for number in range(1, 22) if number != 15)
_SCALES = {"": "full", "-small": "small"}
_PLACE = "study.grids.tables"
_LADDERS = "study.grids.scaling:ladder"
_AXES = ("size", "depth", "width", "trained", "data", "compute")
# "module:function" that returns the runs, or "module:function:argument:..." of one that returns such a function.
GRIDS = {
    "smoke": "study.grids.smoke:smoke",
    "quickstart": "study.grids.quickstart:quickstart",
    "tuning": "study.grids.tuning:tuning",
    "all": f"{_PLACE}:everything",
    **{f"paper{end}": f"{_PLACE}:paper:{scale}" for end, scale in _SCALES.items()},
    **{f"critique{end}": f"{_PLACE}:table_grid:C1:{scale}" for end, scale in _SCALES.items()},
    **{f"attention{end}": f"{_PLACE}:table_grid:attention:{scale}" for end, scale in _SCALES.items()},
    **{f"table-{n}{end}": f"{_PLACE}:table_grid:T{n}:{scale}" for end, scale in _SCALES.items() for n in _TABLES},
    **{f"scaling{end}": f"{_LADDERS}:all:{scale}" for end, scale in _SCALES.items()},
    **{f"scaling-{each}{end}": f"{_LADDERS}:{each}:{scale}" for end, scale in _SCALES.items() for each in _AXES},
}


def load_grid(name: str) -> list[RunSpec]:
    """The runs of a grid, each once.

    Args:
        name: a name of `GRIDS`, or "path/to/file.py:function".

    Raises:
        UserError: unknown name, a mistake in the file, or a function that returns something else than different runs.
    """
    if ".py:" in name:
        path, _, function_name = name.rpartition(":")
        return _checked(name, _call(Path(path), function_name))
    if name not in GRIDS:
        raise unknown_name("grid", name, [*GRIDS, "path/to/file.py:function"])
    return _checked(name, grid_function(name)())


def grid_function(name: str) -> Callable[[], list[RunSpec]]:
    """The function behind a name of `GRIDS`."""
    module, function, *arguments = GRIDS[name].split(":")
    found = getattr(importlib.import_module(module), function)
    return found(*arguments) if arguments else found


def _call(path: Path, function_name: str) -> list[object]:
    """Run a function of the user's own file."""
    if not path.is_file():
        raise UserError(f"there is no grid file '{one_line(path)}'; give path/to/file.py:function")
    try:
        module = _load(path)
        function = getattr(module, function_name, None)
        if callable(function):
            made = function()
            return list(made) if isinstance(made, Iterable) else [made]
    except (Exception, SystemExit) as error:  # told with its line, not as a traceback of ours
        raise UserError(f"{_where(error, path)}: {type(error).__name__}: {one_line(error)}") from error
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    raise unknown_name(f"function in {path}", function_name, [key for key in own if not key.startswith("_")])


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"user_grid_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # a dataclass looks its own module up there
    spec.loader.exec_module(module)
    return module


def _where(error: BaseException, path: Path) -> str:
    """The user's file with the last of its lines that took part in the mistake."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _checked(name: str, made: Iterable[object]) -> list[RunSpec]:
    runs: dict[str, RunSpec] = {}
    for item in made:
        if not isinstance(item, RunSpec):
            raise UserError(f"grid '{name}' must return RunSpecs, not {one_line(repr(item))[:80]}")
        if item.run_id in runs:
            raise UserError(f"grid '{name}' holds run {item.run_id} twice: {item.to_json()}")
        runs[item.run_id] = item
    if not runs:
        raise UserError(f"grid '{name}' holds no run")
    return list(runs.values())
