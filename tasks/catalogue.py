"""From a name, a protocol and arguments to a task; everything a user can get wrong here is refused in one line."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tasks import TASKS
from tasks.base import ProtocolName, Task
from tasks.files import data_root


def make_task(name: str, *, protocol: str, args: Mapping[str, Any]) -> Task:
    """The task of these settings; no file is touched.

    A process keeps the last few tasks with their data, so that the packs of one worker read a data set once.

    Args:
        name: a name of `tasks.TASKS`.
        protocol: "paper" or "fixed".
        args: arguments of that task; those left out take the paper's values.

    Raises:
        ValueError: unknown name, protocol or argument, or a value of the wrong type or out of range.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}{_near_miss(name, TASKS)}; choose one of {', '.join(TASKS)}")
    protocols = get_args(ProtocolName)
    if protocol not in protocols:
        near = _near_miss(protocol, protocols)
        raise ValueError(f"unknown protocol {protocol!r}{near}; choose one of {', '.join(protocols)}")
    for argument, value in args.items():
        _check_argument(name, argument, value, allowed=arguments(name))
    return _task(name, protocol, tuple(sorted(args.items())), data_root())


@cache
def arguments(name: str) -> Mapping[str, Any]:
    """The arguments of a task: name -> type annotation."""
    task_class = _task_class(name)
    hints = get_type_hints(getattr(task_class, "__init__"))  # noqa: B009
    parameters = inspect.signature(task_class).parameters.values()
    found = {p.name: hints[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "protocol"}
    return MappingProxyType(found)


@lru_cache(maxsize=4)
def _task(name: str, protocol: str, args: tuple[tuple[str, Any], ...], root: Path) -> Task:
    del root  # part of the key only: a task remembers the data folder of its construction
    return _task_class(name)(protocol=protocol, **dict(args))


def _task_class(name: str) -> Callable[..., Task]:
    module, _, attribute = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _check_argument(task: str, argument: str, value: Any, *, allowed: Mapping[str, Any]) -> None:
    if argument not in allowed:
        near = _near_miss(argument, allowed)
        raise ValueError(f"{task} has no argument {argument!r}{near}; it takes {', '.join(allowed) or 'none'}")
    annotation = allowed[argument]
    if get_origin(annotation) is Literal:
        if value not in get_args(annotation):
            choices = ", ".join(map(str, get_args(annotation)))
            raise ValueError(f"{task}: {argument} = {value!r} is unknown; choose one of {choices}")
        return
    is_union = get_origin(annotation) in (Union, UnionType)
    # An argument that may be None is one that may be left out, so None itself is never given.
    types = tuple(t for t in (get_args(annotation) if is_union else (annotation,)) if t is not type(None))
    accepted = (*types, int) if float in types else types
    if isinstance(value, bool) != (bool in types) or not isinstance(value, accepted):
        wanted = " or ".join(t.__name__ for t in types)
        raise ValueError(f"{task}: {argument} = {value!r} is of type {type(value).__name__}; give one of type {wanted}")


def _near_miss(given: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
