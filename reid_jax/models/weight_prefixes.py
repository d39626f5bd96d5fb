"""Finds and removes the prefix that a training program put before all weight names.

Lightning writes `model.conv1.weight`, torch.compile `_orig_mod.conv1.weight`, fast-reid
`backbone.conv1.weight` beside `heads.…`. The prefix is found by the names that follow
it: no list of prefixes is needed.
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
"""Names by which the trunk of a ResNet, and of C3D, is recognised."""

Weights = Mapping[str, np.ndarray]


class AmbiguousPrefixError(UserError):
    """A file holds several networks that fit equally well, under `prefixes`."""

    def __init__(self, prefixes: Collection[str]):
        self.prefixes = tuple(prefixes)
        listed = ", ".join(shown_prefix(prefix) for prefix in self.prefixes)
        super().__init__(
            f"It holds {len(self.prefixes)} networks that fit equally well, under the "
            f"prefixes {listed}. Write the one you want into a separate file: "
            "python -m reid_jax.convert_weights FILE ONE.safetensors "
            f"--prefix={self.prefixes[-1]}"
        )


def shown_prefix(prefix: str) -> str:
    """Formats a prefix for a message."""
    return repr(prefix) if prefix else "'' (none)"


def find(weights: Weights, trunk_shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Finds the prefix under which the names of `weights` match a network.

    Prefixes are compared by, in this order: how many parameters are there in the right
    shape, how many are there at all, and, if they match the same keys, their length.

    Args:
        weights: arrays by name, as in the file.
        trunk_shapes: shapes of the trunk's parameters, by canonical name.

    Returns:
        The best prefix; "" when none has half of the parameters.

    Raises:
        AmbiguousPrefixError: different keys under several prefixes fit equally well.
    """
    keys_by_prefix = _keys_by_prefix(weights, trunk_shapes)
    if not keys_by_prefix:
        return ""

    def score(prefix: str) -> tuple[int, int]:
        names = keys_by_prefix[prefix]
        num_fitting = sum(
            torch_weights.in_canonical_shape(name, weights[key]).shape
            == trunk_shapes[name]
            for name, key in names.items()
        )
        return num_fitting, len(names)

    scores = {prefix: score(prefix) for prefix in keys_by_prefix}
    best_score = max(scores.values())
    if 2 * best_score[1] < len(trunk_shapes):
        return ""
    return _only(
        [prefix for prefix in keys_by_prefix if scores[prefix] == best_score],
        keys_by_prefix,
    )


def find_trunk(weights: Weights) -> str:
    """Finds the prefix of a ResNet or C3D of any size; "" without any.

    Raises:
        AmbiguousPrefixError: there are several.
    """
    keys_by_prefix = {}
    for names in _TRUNKS:
        for prefix, keys in _keys_by_prefix(weights, names).items():
            if len(keys) == len(names):
                keys_by_prefix[prefix] = keys
    return _only(list(keys_by_prefix), keys_by_prefix) if keys_by_prefix else ""


def check(weights: Weights, prefix: str) -> None:
    """Raises UserError when no key has that prefix; the message lists existing ones."""
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
    """Removes a prefix from the names of weights.

    Heads are often stored beside the trunk: `backbone.conv1.weight` and
    `classifier.weight`. So a module of `heads` that is missing under the prefix is
    taken from a shorter prefix.

    Args:
        weights: arrays by name.
        prefix: the prefix to remove.
        heads: names of modules that may be outside of the prefix.

    Returns:
        The arrays by their names without the prefix, and the keys that are left out.
    """
    stripped = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
    unused = [key for key in weights if not key.startswith(prefix)]
    present = {_module(key) for key in stripped}
    for outer in reversed(["", *_prefixes(prefix.removesuffix("."))]):
        outer_keys = [key for key in unused if key.startswith(outer)]
        modules = {_module(key.removeprefix(outer)) for key in outer_keys} - present
        for key in outer_keys:
            name = key.removeprefix(outer)
            if (module := _module(name)) in modules and module in heads:
                stripped[name] = weights[key]
                unused.remove(key)
                present.add(module)
    return stripped, unused


def _module(key: str) -> str:
    """Outermost module in the canonical name of a parameter, such as "classifier"."""
    return torch_weights.canonical_name(key).split(".")[0]


def _keys_by_prefix(
    weights: Weights, names: Collection[str]
) -> dict[str, dict[str, str]]:
    """For each prefix, the key of every name in `names` that follows it."""
    keys: dict[str, dict[str, str]] = defaultdict(dict)
    for key in weights:
        for prefix in ("", *_prefixes(key)):
            name = torch_weights.canonical_name(key.removeprefix(prefix))
            if name in names:
                keys[prefix].setdefault(name, key)
    return dict(keys)


def _prefixes(key: str) -> Iterator[str]:
    """Yields all prefixes of a key: `a.` and `a.b.` for `a.b.c`."""
    parts = key.split(".")
    for length in range(1, len(parts)):
        yield ".".join(parts[:length]) + "."


def _only(prefixes: list[str], keys_by_prefix: dict[str, dict[str, str]]) -> str:
    """Returns the longest of prefixes that all match the same keys.

    Raises:
        AmbiguousPrefixError: they match different keys.
    """
    longest: dict[frozenset[str], str] = {}
    for prefix in sorted(prefixes, key=len):
        longest[frozenset(keys_by_prefix[prefix].values())] = prefix
    if len(longest) > 1:
        raise AmbiguousPrefixError(longest.values())
    (prefix,) = longest.values()
    return prefix
