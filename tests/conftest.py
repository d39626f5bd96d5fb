"""Fixtures that several test files share."""

import contextlib
import functools
import gc
import io
import os
import shutil

# Before JAX is imported: every test has two simulated devices. Compiling is most of the
# time of the suite, and takes a quarter of it where programs are optimised less.
_FLAGS = (
    "--xla_force_host_platform_device_count=2",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",  # more parts are more work in all
)
os.environ["XLA_FLAGS"] = " ".join([*_FLAGS, os.environ.get("XLA_FLAGS", "")])

# As many workers as cores: OpenBLAS's threads would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# JAX has a callback that runs after every collection: fewer of them save time.
gc.set_threshold(100_000, 50, 50)

import filelock
import jax
import pytest
from flax import nnx

from configs import base
from reid_jax.models import build_model


def _of_all_workers(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@contextlib.contextmanager
def _once(tmp_path_factory, name):
    """A folder of all workers, and whether it is still to be filled."""
    folder = _of_all_workers(tmp_path_factory) / name
    with filelock.FileLock(f"{folder}.lock"):
        yield folder, not (folder / "done").exists()
        (folder / "done").touch()


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    """Programs that several tests compile alike are compiled for the first one only.

    So are those of the programs that tests start, by JAX's environment variables.
    """
    options = {
        "jax_compilation_cache_dir": str(_of_all_workers(tmp_path_factory) / "xla"),
        "jax_compilation_cache_max_size": 2**33,  # with a limit, files are locked
        "jax_persistent_cache_min_compile_time_secs": 0.15,
    }
    for name, value in options.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


@pytest.fixture(scope="session", autouse=True)
def _render_optimised():
    """Optimises the renderer: it runs longer than a better compilation takes."""
    from data.walkers import backdrop, render

    options = {"xla_backend_optimization_level": 1}
    for module, name, static in (
        (backdrop, "paint_backdrop", ()),
        (render, "render_tracklet", ("num", "frame_size")),
    ):
        function = getattr(module, name).__wrapped__
        better = jax.jit(function, static_argnames=static, compiler_options=options)
        setattr(module, name, better)


@pytest.fixture
def tiny_config():
    """A run of seconds: one block a stage, 32×16 frames, T=3, two identities of two."""
    return _tiny_config()


def _tiny_config():
    config = base.get_config()
    config.model.backbone = "resnet14_w8"
    config.model.attention_dim = 4
    config.model.rnn_dim = 6
    config.model.frame_size = (32, 16)
    config.model.clip_length = 3
    config.data.p = 2
    config.data.k = 2
    config.eval.batch_clips = 4
    return config


@pytest.fixture(scope="session")
def walkers_tiny(tmp_path_factory):
    """A `data_dir` with walkers/tiny; a test may add to it."""
    from data import prepare

    with _once(tmp_path_factory, "walkers_tiny") as (built, is_new):
        if is_new:
            prepare.build(prepare.find_builder("walkers/tiny", built))
    return shutil.copytree(built, tmp_path_factory.mktemp("copy") / "datasets")


@pytest.fixture
def tiny_run(walkers_tiny):
    """A run of walkers/tiny, of four steps (two epochs), scored after each epoch."""
    return _tiny_run(walkers_tiny)


def _tiny_run(walkers_tiny):
    config = _tiny_config()
    config.data.update(name="walkers/tiny", data_dir=str(walkers_tiny), p=4)
    config.train.update(epochs=2, eval_every_epochs=1, log_every_steps=1)
    config.eval.pictures = False
    return config


@pytest.fixture(scope="session")
def trained(tmp_path_factory, walkers_tiny):
    """`tiny_run`, after its first epoch. A test that changes it copies the folder."""
    import train

    with _once(tmp_path_factory, "trained") as (workdir, is_new):
        if is_new:
            config = _tiny_run(walkers_tiny)
            config.train.max_steps = 2
            train.train(config, workdir)
    return workdir


def attention_run(walkers_tiny):
    """The config of `trained_attention`."""
    config = _tiny_run(walkers_tiny)
    config.model.temporal = "attn_tconv"
    config.train.log_every_steps = 2
    return config


@pytest.fixture(scope="session")
def trained_attention(tmp_path_factory, walkers_tiny):
    """A whole run with attention and baselines; what it printed is in `printed.txt`."""
    import train

    with _once(tmp_path_factory, "trained_attention") as (workdir, is_new):
        if is_new:
            config = attention_run(walkers_tiny)
            config.eval.baselines = True
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                train.train(config, workdir)
            (workdir / "printed.txt").write_text(printed.getvalue())
    return workdir


@pytest.fixture
def tiny_model():
    """Builds the network of a config for five persons."""
    return lambda config: build_model(config.model, 5, rngs=nnx.Rngs(0))


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, in order."""
    from reid_jax.report import style

    seen, save = [], style.save
    monkeypatch.setattr(
        style, "save", lambda c, *args, **kw: (seen.append(c), save(c, *args, **kw))
    )
    return seen


@functools.partial(jax.jit, static_argnames=("graphdef", "train"))
def _forward(graphdef, state, clips, train, rng):
    return nnx.merge(graphdef, state, copy=True)(clips, train=train, rng=rng)


@pytest.fixture
def forward():
    """`forward(model, clips, train, rng)`, compiled: much faster than op by op."""
    key = jax.random.key(1)

    def call(model, clips, train, rng=key):
        return _forward(*nnx.split(model), clips, train=train, rng=rng)

    return call
