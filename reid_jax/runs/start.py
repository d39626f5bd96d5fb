"""Prepares a training run: its milestones, and the state before its first step."""

import dataclasses
import pathlib

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from reid_jax import files, parallel, peers, steps
from reid_jax.models import build_model
from reid_jax.runs import folder as run_folder
from reid_jax.runs import pretrained
from reid_jax.runs.checkpoints import Checkpoints, Scalars


@dataclasses.dataclass(frozen=True)
class Milestones:
    """The steps at which a run is scored and saved, and its last step."""

    num_steps: int
    score_every: int
    save_every: int

    def is_scored(self, step: int) -> bool:
        """Whether the run is scored after `step`; always after the last step."""
        return step % self.score_every == 0 or step == self.num_steps

    def is_saved(self, step: int) -> bool:
        """Whether a checkpoint is written after `step`."""
        return self.is_scored(step) or step % self.save_every == 0


def build_milestones(config, steps_per_epoch: int) -> Milestones:
    """Converts the epochs of `config.train` to steps."""
    t = config.train
    num_steps = round(t.epochs * steps_per_epoch)
    if t.max_steps is not None:
        num_steps = min(num_steps, t.max_steps)
    return Milestones(
        num_steps,
        score_every=max(1, round(t.eval_every_epochs * steps_per_epoch)),
        save_every=max(1, round(t.checkpoint_every_epochs * steps_per_epoch)),
    )


def build_state(
    config,
    workdir: pathlib.Path,
    checkpoints: Checkpoints,
    pids: np.ndarray,
    optimizer,
    mesh: Mesh,
) -> tuple[nnx.GraphDef, steps.TrainState, list[Scalars]]:
    """Builds the network and its state, on every device.

    The state comes from the newest checkpoint that is not damaged; without one, from
    `config.init_from`; without that, it is random.

    Returns:
        The network's structure, its state, and scalars that are not in the log yet.
    """
    model = build_model(config.model, len(pids), rngs=nnx.Rngs(config.seed))
    graphdef, state = steps.initial_state(model, optimizer)
    steps.check_accumulation(config, state.batch_stats, mesh.size)
    state = parallel.replicate(state, mesh)
    if restored := checkpoints.restore_newest(state):
        step, state, unlogged = restored
        print(f"Resuming {workdir} after step {step}.")
        return graphdef, state, unlogged
    if config.init_from:
        labels = run_folder.training_name(config), pids.tolist()
        record = pretrained.start(model, config, labels)
        if peers.is_main_process():
            files.write_json(workdir / "init_from.json", record)
        graphdef, state = steps.initial_state(model, optimizer)
        state = parallel.replicate(state, mesh)
    return graphdef, state, []
