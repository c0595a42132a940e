"""Write the feedback that is not chosen as comments of kgplug.toml, which can be used by removing "# "."""

from __future__ import annotations

from collections.abc import Callable

from kgplug.graph.guessing.feedback import Candidate
from kgplug.graph.guessing.options import Kind, Option
from kgplug.graph.guessing.tables import Table, names_of
from kgplug.graph.guessing.toml import comment

_ADD = 'To add it as another kind of feedback, remove "# " from the lines below.'
_REPLACE = (
    'To use it, remove "# " from the lines below, and put "# " before the lines of [user], [item] and [[feedback]] '
    "above."
)


def other_options(
    options: list[Option],
    chosen: Option,
    *,
    ends: Callable[[Option], list[str]],
    table: Callable[[Kind, str | None, bool], Table],
) -> list[str]:
    """Return the lines of the options that are not chosen; [] if there are none.

    Args:
        options: all options, the best first.
        chosen: the one that is used.
        ends: returns the lines of [user] and [item] for an option.
        table: returns the table of a kind, given its name and whether there are other kinds.
    """
    taken = [kind.candidate for kind in chosen.kinds]
    lines: list[str] = []
    done: set[tuple[str, str]] = set()
    for number, option in enumerate(options, 1):
        one = option.kinds[0].candidate
        if option.ends == chosen.ends:
            if len(option.kinds) > 1 or one in taken:
                continue
            together = [*chosen.kinds, Kind(one, _relative_strength(options, chosen, one))]
            block, how = table(together[-1], names_of(together)[-1], True).bare_lines, _ADD
        elif option.ends in done and (len(option.kinds) > 1 or _in_set(options, one)):
            continue
        else:
            several = len(option.kinds) > 1
            block, how = ends(option), _REPLACE
            for kind, name in zip(option.kinds, names_of(option.kinds), strict=True):
                block = [*block, *table(kind, name, several).bare_lines]
        done.add(option.ends)
        lines += ["#", *comment(f"{number}. {option.title}; {option.why}. {how}"), *(f"# {text}" for text in block)]
    if not lines:
        return []
    head = "Other feedback in this graph. `kgplug init --feedback N --force` writes a file that uses number N."
    return ["", *comment(head), *lines]


def _in_set(options: list[Option], one: Candidate) -> bool:
    """Return whether a candidate is one of several kinds of an option."""
    return any(one in [kind.candidate for kind in option.kinds] for option in options if len(option.kinds) > 1)


def _relative_strength(options: list[Option], chosen: Option, one: Candidate) -> float:
    """Return the strength of a candidate if that of the only chosen kind is 1; without a guess, 1."""
    for option in options:
        strengths = {str(kind.candidate.path): kind.strength for kind in option.kinds}
        mine, other = str(chosen.kinds[0].candidate.path), str(one.path)
        if len(chosen.kinds) == 1 and {mine, other} <= strengths.keys():
            return round(strengths[other] / strengths[mine], 2)
    return 1.0
