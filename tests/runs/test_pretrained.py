"""reid_jax/runs/pretrained.py and convert_weights.py: weights in, weights out."""

import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from reid_jax import convert_weights, steps
from reid_jax.errors import UserError
from reid_jax.models import checkpoint_files, recognition, torch_weights
from reid_jax.runs import checkpoints, pretrained, weight_sources
from reid_jax.runs import folder as run_folder

LABELS = ("walkers/tiny", [3, 5, 7, 11, 13])


def _noisy(weights):
    rng = np.random.default_rng(0)
    return {k: rng.normal(size=v.shape).astype("f") for k, v in weights.items()}


@pytest.fixture
def config(tiny_config):
    tiny_config.data.name = LABELS[0]
    return tiny_config


@pytest.fixture
def run(tmp_path, config, tiny_model):
    """The workdir of a run of five persons that was saved after step 0."""
    workdir = tmp_path / "run"
    config.model.temporal = "attn_tconv"
    config.data.normalization = "kinetics"
    run_folder.claim_config(workdir, config, np.array(LABELS[1]), "tracklets")
    model = tiny_model(config)
    given = _noisy(torch_weights.export_torch_weights(model))
    torch_weights.load_torch_weights(model, given)
    optimizer = steps.build_optimizer(config, lambda step: 0.1)
    _, state = steps.initial_state(model, optimizer)
    checkpoints.Checkpoints(workdir, write=True).save(state)
    return workdir, given


def test_a_backbone_file(tmp_path, config, tiny_model, capsys):
    given = _noisy(torch_weights.export_torch_weights(tiny_model(config)))
    given["classifier.weight"] = np.zeros((7, 256), "f")
    given["lstm.weight_ih_l0"] = np.zeros((4, 4), "f")
    config.init_from = str(tmp_path / "net.safetensors")
    checkpoint_files.write_checkpoint(config.init_from, given)
    config.model.temporal = "attn_fc"
    model = tiny_model(config)
    record = pretrained.start(model, config, LABELS)
    out, err = capsys.readouterr()
    assert "(2-D ResNet, 7 classes)" in out
    for module in ("classifier", "attention_conv", "attention_fc"):
        assert f"{module}.weight" in record["initialised"]
        assert module in out.split("initialised:")[1].split(";")[0]
    assert out.endswith("not used: classifier, lstm.\n")
    # The bias would fit; it is not taken without its weight.
    assert record["unused"] == [
        "classifier.bias",
        "classifier.weight",
        "lstm.weight_ih_l0",
    ]
    assert len(record["fingerprint"]) == 64
    assert err == ""
    np.testing.assert_array_equal(
        torch_weights.export_torch_weights(model)["base.0.weight"],
        given["base.0.weight"],
    )


@pytest.mark.parametrize(
    ("shapes", "description", "normalizations"),
    [
        ({"fc6.weight": (1, 1)}, "C3D, no classifier", ("c3d", "c3d_cube")),
        ({"features.0.bias": (1,), "classifier.0.weight": (1, 1)}, "C3D", ("c3d",)),
        ({"conv1.weight": (1,) * 4, "fc.weight": (1000, 1)}, "2-D", ("imagenet",)),
        ({"base.0.weight": (1,) * 4}, "2-D ResNet, no", ("imagenet",)),
        (
            {"conv1.weight": (1,) * 4, "layer1.0.bn1.IN.weight": (1,)},
            "2-D ResNet with IBN-a, no",
            ("imagenet",),
        ),
        (
            {"module.conv1.weight": (1,) * 5, "module.fc.weight": (400, 1)},
            "3-D ResNet, 400 classes",
            ("kinetics",),
        ),
        (
            {"conv1.weight": (1,) * 5, "fc.weight": (1039, 1)},
            "3-D ResNet, 1039 classes",
            ("kinetics_std",),
        ),
        (
            {"conv1.weight": (1,) * 5, "fc.weight": (700, 1)},
            "3-D ResNet, 700 classes",
            ("kinetics_std",),
        ),
        (
            {
                "backbone.conv1a.conv.weight": (1,) * 5,
                "backbone.fc6.weight": (1, 1),
            },
            "C3D of mmaction2, no classifier",
            (),
        ),
        ({"conv1.weight": (1,) * 5, "fc.weight": (625, 1)}, "3-D ResNet", ()),
        ({"encoder.weight": (1, 1)}, "unknown network", ()),
    ],
)
def test_what_the_weights_are_of(shapes, description, normalizations):
    if "conv1" in str(shapes) or "base.0" in str(shapes):
        shapes["layer1.0.conv1.weight"] = (1,) * 4
    weights = {key: np.zeros(shape) for key, shape in shapes.items()}
    words, found_normalizations = recognition.recognise(weights)
    assert words.startswith(description)
    assert found_normalizations[: len(normalizations)] == normalizations
    assert bool(found_normalizations) == bool(normalizations)


def _trunk(config, tiny_model, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a trunk under torchvision's names."""
    rng = np.random.default_rng(seed)
    exported = torch_weights.export_torch_weights(tiny_model(config).base)
    return {k: rng.normal(size=v.shape).astype("f") for k, v in exported.items()}


def _start(path, weights, config, tiny_model):
    """Loads weights from a file; returns the record and the first kernel."""
    checkpoint_files.write_checkpoint(path, weights)
    config.init_from = str(path)
    model = tiny_model(config)
    record = pretrained.start(model, config, LABELS)
    return record, torch_weights.export_torch_weights(model)["base.0.weight"]


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "base.", "model.", "backbone.", "_orig_mod."),
        *("module._orig_mod.", "module.module.", "model.encoder.net."),
    ],
)
def test_names_with_a_prefix(tmp_path, config, tiny_model, capsys, prefix):
    trunk = _trunk(config, tiny_model)
    given = {prefix + key: value for key, value in trunk.items()}
    record, kernel = _start(tmp_path / "a.safetensors", given, config, tiny_model)
    np.testing.assert_array_equal(kernel, trunk["conv1.weight"])
    assert record["prefix"] == prefix
    assert record["initialised"] == ["classifier.bias", "classifier.weight"]
    out = capsys.readouterr().out
    assert "(2-D ResNet, no classifier" in out
    assert (f"under the prefix {prefix!r}" in out) == bool(prefix)


def test_a_trunk_within_a_larger_file(tmp_path, config, tiny_model, capsys):
    trunk = _trunk(config, tiny_model)
    given = {f"model.backbone.{key}": value for key, value in trunk.items()}
    given |= {"model.neck.0.weight": np.ones(3, "f"), "text.conv1.weight": np.eye(2)}
    given |= {f"text.layer1.0.{k}.weight": np.ones((2, 2)) for k in ("conv1", "bn1")}
    # A head that fits is taken from beside the trunk, as a whole.
    given["classifier.weight"] = np.ones((5, 256), "f")
    given["classifier.bias"] = np.full(5, 7, "f")
    record, kernel = _start(tmp_path / "a.npz", given, config, tiny_model)
    np.testing.assert_array_equal(kernel, trunk["conv1.weight"])
    assert record["prefix"] == "model.backbone." and record["initialised"] == []
    assert set(record["unused"]) == {
        "model.neck.0.weight",
        "text.conv1.weight",
        "text.layer1.0.conv1.weight",
        "text.layer1.0.bn1.weight",
    }
    out = capsys.readouterr().out
    assert out.endswith("not used: model (1 tensors), text (3 tensors).\n")


def test_keys_under_the_prefix_must_fit(tmp_path, config, tiny_model):
    given = {f"model.{k}": v for k, v in _trunk(config, tiny_model).items()}
    del given["model.bn1.weight"]
    given["model.extra.weight"] = np.ones(3, "f")
    with pytest.raises(UserError, match=r"prefix 'model\.'\) does not fit") as error:
        _start(tmp_path / "a.npz", given, config, tiny_model)
    assert "missing: bn1.weight (8,)" in str(error.value)
    assert "unused: extra.weight (3,)" in str(error.value)


def test_two_encoders_of_one_shape_are_an_error(tmp_path, config, tiny_model, capsys):
    both = {"encoder_q.": _trunk(config, tiny_model, 1)}
    both["encoder_k."] = _trunk(config, tiny_model, 2)
    given = {p + k: v for p, trunk in both.items() for k, v in trunk.items()}
    path = tmp_path / "moco.npz"
    message = r"(?s)2 networks .* prefixes 'encoder_q\.', 'encoder_k\.'.*--prefix="
    with pytest.raises(UserError, match=message):
        _start(path, given, config, tiny_model)
    with pytest.raises(UserError, match=message):
        convert_weights.convert(str(path))
    with pytest.raises(UserError, match="No key has the prefix 'encoder_z'"):
        convert_weights.convert(str(path), prefix="encoder_z")
    one = tmp_path / "one.npz"
    convert_weights.convert(str(path), str(one), prefix="encoder_q.", quiet=True)
    assert "left out: encoder_k" in capsys.readouterr().out
    written = checkpoint_files.read_checkpoint(one)
    jax.tree.map(np.testing.assert_array_equal, written, both["encoder_q."])


def test_of_two_encoders_the_one_that_fits_is_taken(tmp_path, config, tiny_model):
    trunk = _trunk(config, tiny_model)
    given = {f"image.{k}": v for k, v in trunk.items()}
    given |= {f"flow.{k}": np.ones((3, *v.shape), "f") for k, v in trunk.items()}
    record, kernel = _start(tmp_path / "a.npz", given, config, tiny_model)
    assert record["prefix"] == "image."
    np.testing.assert_array_equal(kernel, trunk["conv1.weight"])


def test_wrong_pixels_are_warned_about(tmp_path, config, tiny_model, capsys):
    given = _noisy(torch_weights.export_torch_weights(tiny_model(config)))
    config.init_from = str(tmp_path / "net.safetensors")
    config.data.normalization = "c3d"
    checkpoint_files.write_checkpoint(config.init_from, given)
    pretrained.start(tiny_model(config), config, LABELS)
    assert "normalization='imagenet'; this run has 'c3d'." in capsys.readouterr().err
    # The file's metadata counts more than a guess from its shapes.
    noted = {"normalization": "c3d,c3d_cube"}
    checkpoint_files.write_checkpoint(config.init_from, given, noted)
    record = pretrained.start(tiny_model(config), config, LABELS)
    assert capsys.readouterr().err == ""
    assert record["normalizations"] == ["c3d", "c3d_cube"]


def test_another_run(run, config, tiny_model, capsys):
    workdir, given = run
    config.init_from = str(workdir)
    model = tiny_model(config)
    record = pretrained.start(model, config, LABELS)
    exported = torch_weights.export_torch_weights(model)
    for key, value in given.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(exported[key], value)
    assert record["initialised"] == [] and len(record["fingerprint"]) == 64
    # Other persons under the same labels: their classifier means nothing here.
    before = np.asarray(tiny_model(config).classifier.kernel[...])
    for labels in (("mars", LABELS[1]), (LABELS[0], [0, 1, 2, 3, 4])):
        model = tiny_model(config)
        record = pretrained.start(model, config, labels)
        assert record["initialised"] == ["classifier.bias", "classifier.weight"]
        np.testing.assert_array_equal(model.classifier.kernel[...], before)
    config.data.normalization = "imagenet"
    pretrained.start(tiny_model(config), config, LABELS)
    assert "normalization='kinetics'" in capsys.readouterr().err


def test_centres_of_persons_start_anew(run, config, tiny_model):
    """A source without them, or with those of other persons, is no error."""
    config.init_from, config.model.centers = str(run[0]), True
    record = pretrained.start(tiny_model(config), config, LABELS)
    assert record["initialised"] == ["centers.weight"]


def test_sources_that_cannot_be(tmp_path, config, tiny_model):
    for source, message in (
        (tmp_path / "absent.pth", "No checkpoint file"),
        (tmp_path, "holds no run"),
    ):
        config.init_from = str(source)
        with pytest.raises(ValueError, match=message):
            pretrained.start(tiny_model(config), config, LABELS)


def test_converting_a_run_and_back(run, tmp_path, config, capsys):
    workdir, given = run
    for name in ("net.safetensors", "net.npz"):
        convert_weights.convert(str(workdir), str(tmp_path / name))
        out = capsys.readouterr().out
        assert "base.0.weight" in out and "base.conv1.kernel" in out
        assert f"{sum(v.size for k, v in given.items() if 'num_b' not in k):,}" in out
        written = checkpoint_files.read_checkpoint(tmp_path / name)
        assert written.keys() == given.keys()
        for key, value in given.items():
            if not key.endswith("num_batches_tracked"):
                np.testing.assert_array_equal(written[key], value)
    again = tmp_path / "again.safetensors"
    convert_weights.convert(str(tmp_path / "net.npz"), str(again), quiet=True)
    out = capsys.readouterr().out
    assert "base.conv1" not in out and f"written to {again}" in out
    jax.tree.map(
        np.testing.assert_array_equal, checkpoint_files.read_checkpoint(again), written
    )
    noted = checkpoint_files.read_metadata(tmp_path / "net.safetensors")
    assert noted["normalization"] == "kinetics"


def test_a_written_run_loads_in_pytorch(run, tmp_path):
    torch = pytest.importorskip("torch", reason="the optional extra that reads .pth")
    workdir, given = run
    convert_weights.convert(str(workdir), str(tmp_path / "net.pth.tar"), quiet=True)
    content = torch.load(tmp_path / "net.pth.tar", weights_only=True)["state_dict"]
    conv = torch.nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
    conv.load_state_dict({"weight": content["base.0.weight"]})
    np.testing.assert_array_equal(content["base.0.weight"], given["base.0.weight"])


def test_the_table_gives_both_names_and_shapes():
    table = convert_weights.parameter_table(
        {
            "base.4.0.conv2.weight": np.zeros((8, 4, 3, 3)),
            "base.1.num_batches_tracked": np.zeros(()),
            "lstm.weight_ih_l0": np.zeros((4, 2)),
            "fc8.weight": np.zeros((5, 6)),
        }
    )
    rows = [line.split() for line in table.splitlines()]
    assert rows[1] == (
        [
            "base.4.0.conv2.weight",
            "8×4×3×3",
            "base.layer1.0.conv2.kernel",
            "3×3×4×8",
        ]
    )
    assert rows[2][2:4] == ["temporal.lstm.weight_ih_l0", "4×2"]
    assert rows[3] == ["fc8.weight", "5×6", "classifier.kernel", "6×5"]
    assert rows[4] == ["3", "tensors,", "326", "values"]


def test_the_command(tmp_path):
    def call(*arguments):
        command = [sys.executable, "-m", "reid_jax.convert_weights", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    helped = call("--help")
    assert helped.returncode == 0 and "runs/attn_tconv" in helped.stdout
    failed = call(str(tmp_path / "absent.pth"), str(tmp_path / "out.npz"))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.count("\n") == 1 and "No checkpoint file" in failed.stderr
    with pytest.raises(
        ValueError, match="normalization=caffe is unknown; known: image"
    ):
        convert_weights.convert("absent.pth", normalization="caffe")


def test_heads_that_the_file_holds_must_fit(tmp_path, config, tiny_model, capsys):
    config.model.temporal = "lstm"
    weights = torch_weights.export_torch_weights(tiny_model(config))
    config.init_from = str(tmp_path / "lstm.npz")
    checkpoint_files.write_checkpoint(config.init_from, weights)
    config.model.rnn_dim *= 2
    with pytest.raises(ValueError, match=r"(?s)lstm.npz .* does not fit .*'lstm'") as e:
        pretrained.start(tiny_model(config), config, ("other", [1, 2]))
    assert "misshaped: lstm.weight_hh_l0" in str(e.value)
    # A file without that head is a backbone's: it starts at random, and says so.
    config.model.temporal = "gru"
    config.train.max_steps = 0
    pretrained.start(tiny_model(config), config, ("other", [1, 2]))
    printed = capsys.readouterr()
    assert re.search("initialised: (classifier, gru|gru, classifier);", printed.out)
    assert "max_steps=0, gru stay random" in printed.err


def test_notes_that_cannot_be(tmp_path, config, tiny_model):
    weights = torch_weights.export_torch_weights(tiny_model(config))
    path = tmp_path / "net.safetensors"
    checkpoint_files.write_checkpoint(path, weights, {"normalization": "foo"})
    with pytest.raises(ValueError, match="notes normalization='foo'; known: imagenet"):
        weight_sources.read(str(path))
    with pytest.raises(ValueError, match=r"stored in .safetensors files only"):
        convert_weights.convert(str(path), "net.npz", normalization="kinetics")
