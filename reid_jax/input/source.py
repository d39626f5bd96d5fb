"""Where batches come from: `pipeline(config)` is the module that makes them.

Each has the same functions, which is all that programs know of a source:

- `load_dataset(config)`: `train`, `query`, `gallery`, `protocols` and a `fingerprint`;
  a split has a length, and `names`, `pids`, `camids`, `num_frames` of its tracklets,
  and a `fingerprint` of its own;
- `load_training_split(config, dataset)`: what is trained on, `dataset.train` or more;
- `training_pids(split)`, `steps_per_epoch(split, config)`;
- `train_clips` and `train_batches(split, config, first_step, mesh)`: what the P×K
  batches show, and their pixels; each is a pure function of (seed, epoch, position);
- `eval_batches(split, config, mesh)`, `first_middle_last(split, tracklet)`.

Batches lie on the devices of `mesh`; a process makes the rows of its own ones only.
"""

import types

from reid_jax.errors import UserError

SOURCES = ("files", "render")


def pipeline(config) -> types.ModuleType:
    """The module of `config.data.source`, imported only now: files need TensorFlow."""
    match config.data.source:
        case "files":
            from reid_jax.input import files as input_pipeline

            return input_pipeline
        case "render":
            from reid_jax.input import rendered as render_pipeline

            return render_pipeline
    known = ", ".join(SOURCES)
    raise UserError(f"config.data.source={config.data.source!r}; known: {known}.")
