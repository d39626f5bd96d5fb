"""Memory of a training step: whole, in bfloat16, with blocks computed again, in parts.

python benchmarks/memory.py [--config=configs/attn_tconv.py] [--parts=4,16]

kept: what automatic differentiation keeps from the forward for the backward pass, the
parameters among it.
compiled: what the compiler says that the step needs beside its arguments (parameters,
optimizer state, batch) on the device that JAX sees. Nothing is run. XLA's compiler for
CPUs merges what is computed twice, so that model.remat changes nothing there.
"""

import argparse
import importlib.util
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from reid_jax import steps
from reid_jax.models import build_model

_NUM_PIDS = 625  # of MARS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="configs/attn_tconv.py")
    parser.add_argument("--parts", default="4,16", help="values of train.accumulate")
    args = parser.parse_args()
    spec = importlib.util.spec_from_file_location("config", args.config)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    parts = [int(number) for number in args.parts.split(",")]
    frozen = {"model.batch_norm": "frozen"}
    settings = [{}, {"model.dtype": "bfloat16"}, {"model.remat": True}]
    settings += [frozen | {"train.accumulate": n} for n in parts]
    settings += [frozen | {"train.accumulate": n, "model.remat": True} for n in parts]
    print(f"{args.config}, jax {jax.__version__}, {jax.devices()[0].device_kind}")
    print(f"{'':60} {'kept, MiB':>10} {'compiled, MiB':>14}")
    for fields in settings:
        config = module.get_config()
        config.update_from_flattened_dict(fields)
        named = " ".join(f"{name}={value}" for name, value in fields.items()) or "whole"
        kept, compiled = (n / 2**20 for n in _bytes(config))
        print(f"{named:60} {kept:10.0f} {compiled:14.0f}", flush=True)


def _bytes(config) -> tuple[int, int]:
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    made = []

    def initial():
        model = build_model(config.model, _NUM_PIDS, rngs=nnx.Rngs(0))
        graphdef, state = steps.initial_state(model, optimizer)
        made.append(graphdef)
        return state

    state = jax.eval_shape(initial)
    clips = config.data.p * config.data.k
    size = (clips, config.model.clip_length, *config.model.frame_size, 3)
    batch = {
        "clips": jax.ShapeDtypeStruct(size, np.uint8),
        "labels": jax.ShapeDtypeStruct((clips,), jnp.int32),
    }
    step = steps.make_train_step(made[0], optimizer, config)
    compiled = step.lower(state, batch).compile().memory_analysis()

    def kept(params, batch_stats, clips):
        def forward(params):
            model = nnx.merge(made[0], params, batch_stats, copy=True)
            out = model(clips, train=True, rng=jax.random.key(0))
            return out.embedding, out.logits

        return jax.vjp(forward, params)[1]

    part = (clips // config.train.accumulate, *size[1:])
    clip_part = jax.ShapeDtypeStruct(part, jnp.dtype(config.model.dtype))
    residuals = jax.eval_shape(kept, state.params, state.batch_stats, clip_part)
    sizes = (leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))
    return sum(sizes), compiled.temp_size_in_bytes


if __name__ == "__main__":
    main()
