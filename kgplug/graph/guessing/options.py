"""The choices of feedback that `kgplug init` offers: one candidate, or several kinds of the same users and items."""

from __future__ import annotations

from dataclasses import dataclass

from kgplug.graph.guessing.feedback import Candidate
from kgplug.graph.guessing.weights import guess_strengths

_MOST_OPTIONS = 6
_MOST_KINDS = 5  # maximum number of kinds in one option


@dataclass(frozen=True)
class Kind:
    """A candidate as one of several kinds of feedback.

    Attributes:
        candidate: the candidate.
        strength: its strength, at least 1.
        why: the reason for the strength; "" if there is only one kind.
    """

    candidate: Candidate
    strength: float = 1.0
    why: str = ""


@dataclass(frozen=True)
class Option:
    """A choice of feedback: one kind, or several of the same users and items.

    Attributes:
        kinds: the kinds, strongest first.
    """

    kinds: list[Kind]

    @property
    def ends(self) -> tuple[str, str]:
        """The user label and the item label."""
        return self.kinds[0].candidate.path.ends

    @property
    def n(self) -> int:
        """Number of matches of all kinds; estimated for paths."""
        return sum(kind.candidate.path.n for kind in self.kinds)

    @property
    def title(self) -> str:
        """The kinds in one line: the path of a single kind, otherwise labels and the types with their strengths."""
        if len(self.kinds) == 1:
            return str(self.kinds[0].candidate.path)
        strengths = [f" x{kind.strength:g}" if kind.strength != 1 else "" for kind in self.kinds]
        names = ["/".join(kind.candidate.path.types) for kind in self.kinds]
        kinds = " + ".join(f"{name}{strength}" for name, strength in zip(names, strengths, strict=True))
        return f"(:{self.ends[0]}) and (:{self.ends[1]}): {kinds}"

    @property
    def why(self) -> str:
        """The reasons, in words."""
        if len(self.kinds) > 1:
            kinds = f"{len(self.kinds)} kinds of feedback between the same labels"
            return f"{kinds}; {self.kinds[0].candidate.reasons[0]}"
        return "; ".join(self.kinds[0].candidate.reasons)


def list_options(candidates: list[Candidate]) -> list[Option]:
    """Return the options, the best first.

    If there are several kinds between the users and items of a candidate, an option of all of them comes before the
    options of single kinds. Feedback with ratings is not combined with other kinds, because a rating also says what a
    user dislikes.

    Args:
        candidates: the candidates, the best first.
    """
    options: list[Option] = []
    done: set[tuple[str, str]] = set()
    for one in candidates:
        if one.disliked and any(not other.disliked and other.path.ends == one.path.ends for other in candidates):
            continue
        kinds = [other for other in candidates if other.path.ends == one.path.ends and _combines(other)]
        if len(kinds) > 1 and one in kinds and one.path.ends not in done:
            done.add(one.path.ends)
            together = _with_strengths(kinds[:_MOST_KINDS])
            options.append(Option(together))
            options += [Option([Kind(kind.candidate)]) for kind in together if not kind.candidate.disliked]
        elif one.path.ends not in done or one not in kinds[:_MOST_KINDS]:
            options.append(Option([Kind(one)]))
    return options[:_MOST_OPTIONS]


def _combines(one: Candidate) -> bool:
    return one.is_named and not one.rated


def _with_strengths(candidates: list[Candidate]) -> list[Kind]:
    guessed = guess_strengths([one.path for one in candidates])
    kinds = [Kind(one, strength, why) for one, (strength, why) in zip(candidates, guessed, strict=True)]
    return sorted(kinds, key=lambda kind: -kind.strength)
