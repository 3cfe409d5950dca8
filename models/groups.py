"""Which parameter belongs to which group: ordered patterns that must cover every parameter of a body exactly once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from models import WHOLE_OF, Group, Part


class Pattern(NamedTuple):
    """A regular expression that must match a whole parameter name, and the group of the parameters it matches."""

    regex: str
    group: Group


def assign(names: Iterable[str], patterns: Sequence[Pattern]) -> dict[str, Group]:
    """The group of every name, in the order of `names`; the first pattern that matches wins.

    Raises:
        ValueError: a name that no pattern matches, or a pattern that is the first match of no name. Either way the
            patterns no longer describe the model, and a wrong set of parameters would be trained in silence.
    """
    groups: dict[str, Group] = {}
    unused = dict.fromkeys(patterns)
    for name in names:
        pattern = next((p for p in patterns if re.fullmatch(p.regex, name)), None)
        if pattern is None:
            raise ValueError(f"parameter {name!r} is in no group; patterns: {', '.join(p.regex for p in patterns)}")
        groups[name] = pattern.group
        unused.pop(pattern, None)
    if unused:
        raise ValueError(f"group patterns that match no parameter: {', '.join(p.regex for p in unused)}")
    return groups


def trained_names(group_of: Mapping[str, Group], chosen: Iterable[Group | Part], *, last_layer: str) -> frozenset[str]:
    """The parameters that a set of groups and parts of groups trains.

    Args:
        group_of: group of every parameter.
        chosen: what is trained.
        last_layer: what the names of the last layer's parameters begin with.
    """
    wanted = frozenset(chosen)
    in_last = frozenset(WHOLE_OF[part] for part in wanted if isinstance(part, Part))
    return frozenset(
        name
        for name, group in group_of.items()
        if group in wanted or (group in in_last and name.startswith(last_layer))
    )
