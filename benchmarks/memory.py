"""Memory of a training step: whole, in bfloat16, with blocks computed again, in parts.

python benchmarks/memory.py [--config=configs/attn_tconv.py]

kept: what automatic differentiation keeps from the forward for the backward pass, the
parameters among it.
compiled: what the compiler says that the step needs beside its arguments (parameters,
optimizer state, batch) on the device that JAX sees. Nothing is run. XLA's compiler for
CPUs merges what is computed twice, so that model.remat changes nothing there.
"""

import pathlib
import runpy
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from reid_jax import steps
from reid_jax.models import build_model

_NUM_PIDS = 625  # of MARS
_FROZEN = {"model.batch_norm": "frozen"}
_SETTINGS = (
    {},
    {"model.dtype": "bfloat16"},
    {"model.remat": True},
    _FROZEN | {"train.accumulate": 4},
    _FROZEN | {"train.accumulate": 16},
    _FROZEN | {"train.accumulate": 4, "model.remat": True},
    _FROZEN | {"train.accumulate": 16, "model.remat": True},
)


def main() -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--config", default="configs/attn_tconv.py")
    args = parser.parse_args()
    get_config = runpy.run_path(args.config)["get_config"]
    machine = measuring.begin(args)
    results = {}
    print(f"{'':60} {'kept, MiB':>10} {'compiled, MiB':>14}")
    for fields in _SETTINGS:
        config = get_config()
        config.update_from_flattened_dict(fields)
        label = " ".join(f"{name}={value}" for name, value in fields.items()) or "whole"
        saved_mib, compiled_mib = (n / 2**20 for n in _bytes(config))
        results[label] = {"kept": saved_mib, "compiled": compiled_mib}
        print(f"{label:60} {saved_mib:10.0f} {compiled_mib:14.0f}", flush=True)
    measuring.print_json(machine, results)


def _bytes(config) -> tuple[int, int]:
    """Bytes that the backward pass needs, and temporary bytes of the compiled step."""
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    graphdef = None

    def initial() -> steps.TrainState:
        nonlocal graphdef
        model = build_model(config.model, _NUM_PIDS, rngs=nnx.Rngs(0))
        graphdef, state = steps.initial_state(model, optimizer)
        return state

    state = jax.eval_shape(initial)
    clips = config.data.p * config.data.k
    size = (clips, config.model.clip_length, *config.model.frame_size, 3)
    batch = {
        "clips": jax.ShapeDtypeStruct(size, np.uint8),
        "labels": jax.ShapeDtypeStruct((clips,), jnp.int32),
    }
    step = steps.make_train_step(graphdef, optimizer, config)
    compiled = step.lower(state, batch).compile().memory_analysis()

    def residuals_of(params, batch_stats, clips):
        def forward(params):
            model = nnx.merge(graphdef, params, batch_stats, copy=True)
            out = model(clips, train=True, rng=jax.random.key(0))
            return out.embedding, out.logits

        return jax.vjp(forward, params)[1]

    part = (clips // config.train.accumulate, *size[1:])
    clip_part = jax.ShapeDtypeStruct(part, jnp.dtype(config.model.dtype))
    residuals = jax.eval_shape(residuals_of, state.params, state.batch_stats, clip_part)
    sizes = (leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))
    return sum(sizes), compiled.temp_size_in_bytes


if __name__ == "__main__":
    main()
