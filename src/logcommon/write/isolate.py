"""What of a batch can't be made into a transaction is set apart from the rest. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from logcommon.model import Destination, Group
from logcommon.write.batch import Batch, Entry

_Counted: TypeAlias = tuple[Group, str, int]
_Recent: TypeAlias = tuple[Destination, Entry]
_Piece: TypeAlias = _Counted | _Recent


def set_apart(batch: Batch, check: Callable[[Batch], object]) -> tuple[Batch, Batch]:
    """Return what `check` accepts of a batch, and what it raises for.

    If it raises for nothing, the fault lies elsewhere: then all of the batch is set apart.
    """
    pieces: list[_Piece] = [
        (group, message, amount)
        for group, messages in batch.counts.items()
        for message, amount in messages.items()
    ]
    pieces += [(place, entry) for place, entries in batch.recent.items() for entry in entries]
    good, bad = _bisect(pieces, check)
    if not bad:
        good, bad = [], pieces
    return _with(batch, good), _with(batch, bad)


def _bisect(
    pieces: Sequence[_Piece], check: Callable[[Batch], object]
) -> tuple[list[_Piece], list[_Piece]]:
    """Return the pieces that pass, and the others."""
    try:
        check(_with(Batch(), pieces))
    except Exception:  # noqa: BLE001  # whatever it is, it is why this is looked for
        if len(pieces) == 1:
            return [], list(pieces)
    else:
        return list(pieces), []
    half = len(pieces) // 2
    first, second = _bisect(pieces[:half], check), _bisect(pieces[half:], check)
    return first[0] + second[0], first[1] + second[1]


def _with(batch: Batch, pieces: Sequence[_Piece]) -> Batch:
    """Return a batch with these pieces and nothing else."""
    batch = replace(batch, counts={}, recent={})
    for piece in pieces:
        if len(piece) == 3:
            group, message, amount = piece
            batch.counts.setdefault(group, {})[message] = amount
        else:
            destination, entry = piece
            batch.recent.setdefault(destination, []).append(entry)
    return batch
