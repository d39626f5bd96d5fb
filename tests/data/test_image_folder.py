"""Sets of pictures in Market-1501's layout, and folders of pictures named so."""

import pathlib
import shutil

import pytest

from configs import base, image
from data import prepare
from data.image_folder import index
from data.sources import checks, halves
from reid_jax import config_checks
from reid_jax.input import files
from tests import source_layouts


@pytest.fixture
def market(tmp_path):
    folder = tmp_path / "market"
    source_layouts.write_market_layout(folder)
    return folder


def _problems(folder: pathlib.Path) -> tuple[str, ...]:
    with pytest.raises(checks.SourceError) as caught:
        index.read_splits(folder)
    return caught.value.problems


def test_splits_of_the_tiny_layout(market, capsys):
    (market / "bounding_box_test" / "Thumbs.db").touch()
    splits = index.read_splits(market)
    assert [(row.name, row.pid, row.camid) for row in splits["train"]] == [
        ("0002_c1s1_000451_03.png", 2, 0),
        ("0002_c3s1_000452_03.png", 2, 2),
        ("0007_c1s1_000453_03.png", 7, 0),
        ("0007_c2s1_000454_03.png", 7, 1),
        ("0007_c2s1_000455_03.png", 7, 1),
    ]
    assert [(row.pid, row.camid) for row in splits["query"]] == [(3, 0), (3, 5), (5, 1)]
    assert sorted((row.pid, row.camid) for row in splits["gallery"]) == [
        *((-1, 4), (0, 0), (0, 1), (3, 0), (3, 5), (5, 1), (5, 3))
    ]
    assert splits["query"][0].images == ["query/0003_c1s2_000451_03.png"]
    assert capsys.readouterr().err.endswith(
        "has 1 warning:\n  bounding_box_test: 1 files that are hidden or no pictures "
        "(.jpg .jpeg .png) are not used\n"
    )


def test_it_is_trained_on_by_the_image_baseline(market, tmp_path):
    prepare.main(
        ["image_folder/market", f"--source={market}", f"--data_dir={tmp_path / 'd'}"]
    )
    config = image.get_config()
    config.data.update(
        name="image_folder/market", data_dir=str(tmp_path / "d"), p=2, k=2
    )
    config_checks.check_config(config)
    source = files.FilesSource(config)
    assert source.pids.tolist() == [2, 7]
    assert set(source.split("gallery").num_frames.tolist()) == {1}
    batch = next(source.train_batches())
    assert batch["clips"].shape[:2] == (4, 1)
    assert sorted(batch["labels"].tolist()) == [0, 0, 1, 1]
    assert base.whole_dataset("image_folder/market") == "image_folder/market"


def test_a_folder_without_training_can_be_scored(market, capsys):
    shutil.rmtree(market / "bounding_box_train")
    assert set(index.read_splits(market)) == {"query", "gallery"}
    assert "it can be scored only" in capsys.readouterr().err


def test_pictures_of_one_folder_are_split_by_persons(market, tmp_path):
    flat = tmp_path / "mine"
    flat.mkdir()
    for path in market.glob("*/*.png"):
        shutil.copy(path, flat)
    splits = index.read_splits(flat)
    train, test = halves.seeded_halves([2, 3, 5, 7], 0)
    assert {row.pid for row in splits["train"]} == set(train)
    assert [row.pid for row in splits["query"]] == test
    first = splits["query"][0]
    assert first.camid == min(
        row.camid for split in splits.values() for row in split if row.pid == first.pid
    )
    assert {row.pid for row in splits["gallery"]} == {*test, 0, -1}
    num = sum(map(len, splits.values()))
    assert num == len(list(flat.iterdir())) and first not in splits["gallery"]
    assert first.images == [first.name]


def test_all_that_is_wrong_is_in_one_error(market):
    train, query = market / "bounding_box_train", market / "query"
    picture = source_layouts.tiny_png(1)
    (train / "0000_c1s1_1.png").write_bytes(picture)
    (train / "anna.png").write_bytes(picture)
    (query / "0003_c0s1_1.png").write_bytes(picture)
    (query / "-1_c1s1_1.png").write_bytes(picture[:-3])
    shutil.rmtree(market / "bounding_box_test")
    assert sorted(_problems(market)) == [
        "bounding_box_test: missing folder",
        "bounding_box_train/0000_c1s1_1.png: person 0; 0 (distractor) and -1 (junk) "
        "are for bounding_box_test",
        "bounding_box_train/anna.png: not a name like 0002_c1s1_000451_03.jpg",
        "query/-1_c1s1_1.png: person -1; 0 (distractor) and -1 (junk) are for "
        "bounding_box_test",
        "query/-1_c1s1_1.png: truncated",
        "query/0003_c0s1_1.png: camera 0, but cameras count from 1",
    ]


def test_a_person_in_training_and_testing(market):
    name = "0002_c4s3_000451_03.png"
    (market / "bounding_box_test" / name).write_bytes(source_layouts.tiny_png(1))
    assert _problems(market) == (
        f"bounding_box_test/{name}: person 2 is in training, too: "
        "bounding_box_train/0002_c3s1_000452_03.png",
    )


def test_queries_without_an_answer_are_warned_about(market, capsys):
    for path in market.glob("bounding_box_test/0005_c4*"):
        path.unlink()
    index.read_splits(market)
    assert (
        "query/0005_c2s2_000453_03.png: person 5 is in the" in capsys.readouterr().err
    )


def test_folders_without_pictures(tmp_path):
    assert _problems(tmp_path) == ("no picture in it, and no folder query",)
    for inside in index.FOLDERS.values():
        (tmp_path / inside).mkdir()
    assert _problems(tmp_path) == tuple(
        f"{split}: no picture" for split in index.FOLDERS
    )
