"""Prefixes that all names of a network carry in a file, as programs around it add them.

Lightning writes `model.conv1.weight`, torch.compile `_orig_mod.conv1.weight`, fast-reid
`backbone.conv1.weight` beside `heads.…`. The names say which prefix it is: no list of
known prefixes is needed.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from reid_jax.errors import UserError
from reid_jax.models import torch_weights

_TRUNKS = (
    ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"),
    ("conv1.weight", "conv2.weight", "conv5b.weight", "fc6.weight"),
)
"""Names that tell a ResNet, and C3D, without a network at hand."""

Weights = Mapping[str, np.ndarray]


class AmbiguousPrefixError(UserError):
    """Several networks of one shape in a file: `prefixes` of all of them."""

    def __init__(self, prefixes: Collection[str]):
        self.prefixes = tuple(prefixes)
        shown = ", ".join(shown_prefix(prefix) for prefix in self.prefixes)
        super().__init__(
            f"It holds {len(self.prefixes)} networks that fit equally well, under the "
            f"prefixes {shown}. Write the one you want into a file of its own: "
            "python -m reid_jax.convert_weights FILE ONE.safetensors "
            f"--prefix={self.prefixes[-1]}"
        )


def shown_prefix(prefix: str) -> str:
    """A prefix as messages show it."""
    return repr(prefix) if prefix else "'' (none)"


def find(weights: Weights, wanted: Mapping[str, tuple[int, ...]]) -> str:
    """The prefix under which the names of `weights` match a network; "" without any.

    `wanted` has the shape of each parameter of the network's trunk by its canonical
    name. The prefix under which most of them are there in their shapes is taken; then
    the one with most names; and of prefixes that find the same keys the longest. Where
    no prefix has half of the names, "" is returned: the file holds something else.

    Raises:
        AmbiguousPrefixError: keys under several prefixes match equally well.
    """
    found = _found(weights, wanted)
    if not found:
        return ""

    def score(prefix: str) -> tuple[int, int]:
        names = found[prefix]
        num_fitting = sum(
            torch_weights.in_canonical_shape(name, weights[key]).shape == wanted[name]
            for name, key in names.items()
        )
        return num_fitting, len(names)

    scores = {prefix: score(prefix) for prefix in found}
    best = max(scores.values())
    if 2 * best[1] < len(wanted):
        return ""
    return _only([prefix for prefix in found if scores[prefix] == best], found)


def find_trunk(weights: Weights) -> str:
    """As `find`, of a ResNet or C3D of any size; "" where there is none.

    Raises:
        AmbiguousPrefixError: there are several.
    """
    whole = {}
    for names in _TRUNKS:
        found = _found(weights, names)
        whole |= {p: keys for p, keys in found.items() if len(keys) == len(names)}
    return _only(list(whole), whole) if whole else ""


def check(weights: Weights, prefix: str) -> None:
    """Raises UserError unless some keys have that prefix; lists those there are."""
    if any(key.startswith(prefix) for key in weights):
        return
    counts = Counter(prefix for key in weights for prefix in _prefixes(key))
    several = [shown_prefix(prefix) for prefix, num in counts.items() if num > 1]
    raise UserError(
        f"No key has the prefix {prefix!r}; prefixes of several keys: "
        f"{', '.join(several[:10]) or 'none'}"
        f"{' …' if len(several) > 10 else ''}."
    )


def strip(
    weights: Weights, prefix: str, heads: Collection[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The weights under `prefix`, without it, and the keys that are left out.

    Heads lie often beside the trunk: `backbone.conv1.weight`, `classifier.weight`. A
    module of `heads` is taken from above the prefix where there is none below it.
    """
    below = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
    others = [key for key in weights if not key.startswith(prefix)]
    has = {_module(key) for key in below}
    for above in reversed(["", *_prefixes(prefix.removesuffix("."))]):
        beside = [key for key in others if key.startswith(above)]
        modules = {_module(key.removeprefix(above)) for key in beside} - has
        for key in beside:
            name = key.removeprefix(above)
            if (module := _module(name)) in modules and module in heads:
                below[name] = weights[key]
                others.remove(key)
                has.add(module)
    return below, others


def _module(key: str) -> str:
    """The outermost module of a parameter by its canonical name: "classifier", say."""
    return torch_weights.canonical_name(key).split(".")[0]


def _found(weights: Weights, wanted: Collection[str]) -> dict[str, dict[str, str]]:
    """By prefix, the wanted names that are there below it, and their keys."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for key in weights:
        for prefix in ("", *_prefixes(key)):
            name = torch_weights.canonical_name(key.removeprefix(prefix))
            if name in wanted:
                found[prefix].setdefault(name, key)
    return dict(found)


def _prefixes(key: str) -> Iterator[str]:
    """`a.`, `a.b.` … of a.b.c."""
    parts = key.split(".")
    for length in range(1, len(parts)):
        yield ".".join(parts[:length]) + "."


def _only(prefixes: list[str], found: dict[str, dict[str, str]]) -> str:
    """The one of some prefixes, or the longest of those that find the same keys."""
    longest: dict[frozenset[str], str] = {}
    for prefix in sorted(prefixes, key=len):
        longest[frozenset(found[prefix].values())] = prefix
    if len(longest) > 1:
        raise AmbiguousPrefixError(longest.values())
    (prefix,) = longest.values()
    return prefix
