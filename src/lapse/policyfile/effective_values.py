"""What a policy says once it is merged, value by value, for ``lapse check --effective``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import Origin
from lapse.policyfile.addresses import STORE_SCHEMES, TARGET_SCHEMES
from lapse.policyfile.loading import read
from lapse.policyfile.models import default_texts, shape_at
from lapse.policyfile.tree import Listing, Mapped, Node, Scalar


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """One value of a merged policy.

    Attributes:
        path: Keys and positions that lead to it, such as ``datasets.calls.keep[0].for``.
        value: As written, secrets masked; a reference such as ``${DSN}`` is shown, not what it stands for.
        origin: Where it is written. None for a default.
    """

    path: str
    value: str
    origin: Origin | None

    @property
    def is_default(self) -> bool:
        """Whether nobody wrote it."""
        return self.origin is None


def effective(
    path: str | Path,
    *,
    schemes: Sequence[str] = STORE_SCHEMES,
    target_schemes: Sequence[str] = TARGET_SCHEMES,
) -> tuple[EffectiveValue, ...]:
    """Every value of a policy, defaults after what is written in each part. Arguments as for `load`.

    Raises:
        PolicyError: If the policy cannot be followed.
    """
    return tuple(_values((), read(path, schemes=schemes, target_schemes=target_schemes).tree))


def _values(path: tuple[str | int, ...], node: Node) -> Iterator[EffectiveValue]:
    match node:
        case Scalar():
            yield EffectiveValue(_joined(path), node.shown, node.origin)
        case Listing():
            for index, item in enumerate(node.items):
                yield from _values((*path, index), item)
        case Mapped():
            for entry in node.entries:
                yield from _values((*path, entry.key), entry.node)
            yield from _defaults(path, node)
            for key in ("guards", "pace") if not path else ():
                if node.entry(key) is None:
                    yield from _defaults((key,), Mapped((), node.origin))


def _defaults(path: tuple[str | int, ...], node: Mapped) -> Iterator[EffectiveValue]:
    shape = shape_at(path)
    for key, text in default_texts(shape).items() if shape else ():
        if node.entry(key) is None:
            yield EffectiveValue(_joined((*path, key)), text, None)


def _joined(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in path).removeprefix(".")


def _shown(key: str) -> str:
    """A key as it is, in quotes where its dots would be taken for steps; a field's path into JSON begins with ``$``."""
    return json.dumps(key, ensure_ascii=False) if not key.startswith("$") and set(key) & set('."[]') else key
