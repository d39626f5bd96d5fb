"""All tables of both papers: the printed numbers, and the config of each row.

`TABLES["5"]` is Table 5 of Gao & Nevatia 2018, `TABLES["II"]` is Table II of Kansal &
Subramanyam 2018, `TABLES["figure5"]` is Figure 5 of the latter. Numbers are percent.
`note` says where a table disagrees with the text or with another table.
"""

import dataclasses
from collections.abc import Mapping

Values = tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: Its title in the table.
        paper: The printed numbers in percent, one for each column of the table; None
            where the paper has none.
        config: What `--config=configs/…` takes, as "rnn.py:T=8"; None where the paper
            quotes another system's numbers.
        overrides: Config fields that the row's runs and scores have.
        dataset: The dataset that the row is scored on; None: that of the table.
        starts_from: The config whose run initialises the row's runs; None: pretrained
            weights.
        mean_of: Names of other rows whose mean this row is.
    """

    name: str
    paper: Values
    config: str | None = None
    overrides: Mapping[str, object] = dataclasses.field(default_factory=dict)
    dataset: str | None = None
    starts_from: str | None = None
    mean_of: tuple[str, ...] = ()

    @property
    def is_quoted(self) -> bool:
        """Whether the row quotes another system's numbers."""
        return self.config is None and not self.mean_of


@dataclasses.dataclass(frozen=True)
class Column:
    """A score: "mAP" or "CMC-n", of all queries or at levels of a study.

    Attributes:
        title: Its title in the table.
        score: "mAP" or "CMC-n".
        study: Name of the study that measures it; None: the run's normal score.
        levels: Levels of the study; the score is the mean over them.
    """

    title: str
    score: str
    study: str | None = None
    levels: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.title


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: what it compares, on which dataset, and its rows and columns."""

    paper: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    dataset: str = "mars"
    note: str = ""


PRESETS = {"paper": None, "small": "walkers/street_small"}
"""Preset → the dataset that stands in for MARS; None: MARS itself."""

P1 = "Gao & Nevatia 2018"
P2 = "Kansal & Subramanyam 2018"

_P1_COLUMNS = tuple(
    Column(name, name) for name in ("mAP", "CMC-1", "CMC-5", "CMC-10", "CMC-20")
)
_P2_COLUMNS = tuple(Column(f"Top-{k}", f"CMC-{k}") for k in (1, 5, 10, 20))


def _p1(caption: str, *rows: Row, note: str = "") -> Table:
    """A table of paper 1."""
    return Table(P1, caption, _P1_COLUMNS, rows, note=note)


def _lstm(name: str, paper: Values, variant: str) -> Row:
    """A row of a variant of configs/rnn.py."""
    return Row(name, paper, f"rnn.py:{variant}")


_AVG_8 = (76.2, 82.9, 93.7, 95.4, 96.8)
_SOFTMAX_FC = (75.8, 82.7, 92.8, 95.4, 97.0)
_LSTM_8 = (72.0, 80.4, 92.7, 94.9, 96.9)
_XQDA = {"eval.metric": "xqda"}

_PAPER_1 = {
    "1": _p1(
        "3-D ResNet-50, frames of a clip",
        Row("T=4", (70.5, 78.5, 90.9, 93.9, 95.9), "resnet3d50.py"),
        Row("T=8", (69.1, 78.8, 89.8, 93.2, 95.1), "resnet3d50.py:T=8"),
        note="T=8 has the better CMC-1 although the text says that T=4 performs better",
    ),
    "2": _p1(
        "average against max pooling, T=8",
        Row("avg pool", _AVG_8, "pool_avg.py:T=8"),
        Row("max pool", (74.5, 83.1, 93.3, 95.6, 96.7), "pool_max.py"),
        note="max pooling is ahead on CMC-1 and CMC-10 although the text says that "
        "average pooling is consistently better",
    ),
    "3": _p1(
        "average pooling, frames of a clip",
        Row("T=1", (74.1, 81.3, 92.6, 94.8, 96.7), "image.py"),
        Row("T=2", (76.1, 83.3, 93.2, 95.5, 96.8), "pool_avg.py:T=2"),
        Row("T=4", (76.5, 83.5, 93.0, 95.3, 96.8), "pool_avg.py"),
        Row("T=8", _AVG_8, "pool_avg.py:T=8"),
    ),
    "4": _p1(
        "attention by spatial conv + FC, T=4: its normalisation",
        Row("softmax", _SOFTMAX_FC, "attn_fc.py"),
        Row("sigmoid", (76.1, 82.8, 93.6, 95.4, 96.8), "attn_fc.py:norm=sigmoid"),
    ),
    "5": _p1(
        "attention network, softmax, T=4",
        Row("spatial conv + FC", (75.8, 82.7, 93.0, 95.1, 96.5), "attn_fc.py"),
        Row("spatial + temporal conv", (76.7, 83.3, 93.8, 96.0, 97.4), "attn_tconv.py"),
        note="its first row is the softmax row of Table 4, printed with other CMC-5, "
        "10 and 20",
    ),
    "6": _p1(
        "LSTM, last hidden state, T=8: its size",
        _lstm("512", (69.8, 79.3, 91.7, 93.3, 96.2), "output=last,T=8"),
        _lstm("1024", (66.7, 76.4, 89.0, 92.2, 94.7), "output=last,dim=1024,T=8"),
        _lstm("2048", (67.0, 77.7, 89.6, 92.8, 94.9), "output=last,dim=2048,T=8"),
    ),
    "7": _p1(
        "LSTM, mean of the outputs, T=8: its size",
        _lstm("512", _LSTM_8, "T=8"),
        _lstm("1024", (72.1, 81.0, 92.5, 94.8, 96.5), "dim=1024,T=8"),
        _lstm("2048", (70.1, 79.5, 91.0, 93.8, 95.5), "dim=2048,T=8"),
        note="1024 is ahead of 512 on mAP and CMC-1 although the text calls 512 the "
        "best",
    ),
    "8": _p1(
        "LSTM against GRU, mean of the outputs, T=8, 512 units",
        _lstm("LSTM", _LSTM_8, "T=8"),
        _lstm("GRU", (70.5, 79.7, 91.5, 93.8, 95.3), "cell=gru,T=8"),
    ),
    "9": _p1(
        "LSTM, mean of the outputs, 512 units: frames of a clip",
        _lstm("T=2", (72.4, 81.4, 92.1, 94.9, 96.4), "T=2"),
        Row("T=4", (73.9, 81.6, 92.8, 94.7, 96.3), "rnn.py"),
        _lstm("T=8", _LSTM_8, "T=8"),
        _lstm("T=16", (60.3, 71.2, 86.5, 90.8, 93.7), "T=16"),
    ),
    "10": _p1(
        "comparison with other systems, T=4",
        Row("Zheng et al.", (45.6, 65.0, 81.1, None, 88.9)),
        Row("Li et al.", (56.1, 71.8, 86.6, None, 93.1)),
        Row("Liu et al.", (51.7, 73.7, 84.9, None, 91.6)),
        Row("Zhou et al.", (50.7, 70.6, 90.0, None, 97.6)),
        Row("Hermans et al.", (67.7, 79.8, 91.4, None, None)),
        Row("Ours (image)", (74.1, 81.3, 92.6, 94.8, 96.7), "image.py"),
        Row("Ours (3Dconv)", (70.5, 78.5, 90.9, 93.9, 95.9), "resnet3d50.py"),
        Row("Ours (pool)", (76.5, 83.3, 93.0, 95.3, 96.8), "pool_avg.py"),
        Row("Ours (att)", (76.7, 83.3, 93.8, 96.0, 97.4), "attn_tconv.py"),
        Row("Ours (RNN)", (73.9, 81.6, 92.8, 94.7, 96.3), "rnn.py"),
        Row("Hermans et al. (re-rank)", (77.4, 81.2, 90.7, None, None)),
        Row(
            "Ours (re-rank)",
            (84.5, 85.0, 94.7, 96.6, 97.7),
            "attn_tconv.py",
            {"eval.rerank": True},
        ),
        note="CMC-1 of pooling is 83.3 here and 83.5 in Table 3; re-ranked is the "
        "attention model",
    ),
}

_FIRST_MODEL = "c3d_joint.py"
# Scores C3D with the weights of Sports-1M: no step of training.
_PRETRAINED_ONLY = {"train.max_steps": 0, "eval.metric": "xqda"}


def _table_1_rows(
    title: str, dataset: str, euclidean, xqda_top1, baseline, **others
) -> list[Row]:
    """The rows of Table I for one dataset: ours, the baseline, and quoted systems."""
    rows = [
        Row(f"{title}: Ours + Euclidean", euclidean, _FIRST_MODEL, dataset=dataset),
        Row(
            *(
                f"{title}: Ours + XQDA",
                (xqda_top1, None, None, None),
                _FIRST_MODEL,
                _XQDA,
            ),
            dataset=dataset,
        ),
        Row(f"{title}: Baseline", baseline, "c3d.py", _PRETRAINED_ONLY, dataset),
    ]
    return rows + [
        Row(f"{title}: {name.replace('_', ' ')}", values, dataset=dataset)
        for name, values in others.items()
    ]


_PAPER_2 = {
    "I": Table(
        P2,
        "first model, trained on half of the persons of three datasets",
        _P2_COLUMNS,
        (
            *_table_1_rows(
                *("PRID-2011", "prid2011/all0"),
                *((73.09, 98.53, 99.41, 99.41), 76.02, (58.7, 65.3, 68.3, 75.6)),
                Chung_et_al=(78.0, 94.0, 97.0, 99.0),
                ASTPN=(77.0, 95.0, 99.0, 99.0),
                IDE=(77.3, 93.5, None, 99.3),
                SI2DL=(76.7, 95.6, 96.7, 98.9),
                RCN=(70.0, 90.0, 95.0, 97.0),
                STA=(64.0, 87.0, 90.0, 92.0),
                RFA=(58.2, 85.8, 93.4, 97.9),
                TDL=(56.74, 80.0, 87.64, 93.54),
            ),
            *_table_1_rows(
                *("iLIDS-VID", "ilids_vid/split0"),
                *((59.2, 86.06, 99.0, 99.0), 73.62, (42.5, 54.8, 67.9, 76.3)),
                ASTPN=(62.0, 86.0, 94.0, 98.0),
                Chung_et_al=(60.0, 86.0, 93.0, 97.0),
                IDE=(53.0, 81.4, None, 95.1),
                SI2DL=(48.7, 81.1, 89.2, 97.3),
                RCN=(58.0, 84.0, 91.0, 96.0),
                STA=(44.0, 72.0, 84.0, 92.0),
                RFA=(49.3, 76.8, 85.3, 90.0),
                TDL=(56.33, 87.6, 91.0, 96.0),
            ),
            *_table_1_rows(
                *("Aerial", "p_destre/seeded0"),
                *((42.76, 68.88, 86.66, 95.66), 50.6, (29.4, 38.6, 57.2, 75.3)),
                ASTPN=(63.0, 70.0, 85.0, 98.0),
                IDE=(59.0, 65.0, 82.0, 84.0),
                RCN=(55.0, 62.0, 83.0, 92.0),
            ),
        ),
        dataset="prid2011/all0",
        note="XQDA's Top-1 is from the text; Baseline is C3D of Sports-1M unchanged, "
        "with XQDA; P-DESTRE stands in for the paper's private aerial set",
    ),
    "II": Table(
        P2,
        "MARS: cross testing of the first model, and the second model",
        _P2_COLUMNS,
        (
            Row("cross: Ours + Euclidean", (27.9, 32.8, 35.11, 42.56), _FIRST_MODEL),
            Row("cross: Ours + XQDA", (38.7, 42.6, 48.9, 55.7), _FIRST_MODEL, _XQDA),
            Row(
                "cross: Baseline", (35.3, 44.5, 50.2, 54.9), "c3d.py", _PRETRAINED_ONLY
            ),
            Row(
                *("Ours + Euclidean", (61.66, 82.63, 88.33, 88.42), "c3d_mars.py"),
                starts_from=_FIRST_MODEL,
            ),
            Row(
                *("Ours + XQDA", (75.17, None, None, None), "c3d_mars.py", _XQDA),
                starts_from=_FIRST_MODEL,
            ),
            Row("ASTPN", (44.0, 70.0, 74.0, 81.0)),
            Row("IDE", (68.3, 82.6, None, 89.4)),
            Row("RCN", (40.0, 64.0, 70.0, 77.0)),
        ),
        note="the text says 631 training persons and 32 to 20,000 frames, MARS has 625 "
        "and 5 to 920; protocol and gallery are not stated; XQDA's Top-1 of the second "
        "model is from the text",
    ),
    "III": Table(
        P2,
        "iLIDS-VID, Top-1 by the frames of query and gallery",
        tuple(Column(f"{n}/{n}", "CMC-1", "frames", (n,)) for n in (1, 8, 16, 32)),
        (
            Row("Ours + Euclidean", (20.0, 33.86, 52.71, 56.8), _FIRST_MODEL),
            Row("ASTPN", (16.0, 35.0, 48.0, 59.0)),
            Row("RCN", (14.0, 28.0, 36.0, 44.0)),
        ),
        dataset="ilids_vid/split0",
    ),
    "figure5": Table(
        P2,
        "Top-1 under white Gaussian noise, mean over variances of 1e-4 to 3e-3",
        (Column("Top-1", "CMC-1", "noise", (1e-4, 3e-4, 1e-3, 2e-3, 3e-3)),),
        (
            *(
                Row(f"3D-CNN, {place}", (None,), _FIRST_MODEL, dataset=dataset)
                for place, dataset in (
                    ("PRID-2011", "prid2011/all0"),
                    ("iLIDS-VID", "ilids_vid/split0"),
                    ("Aerial", "p_destre/seeded0"),
                )
            ),
            Row(
                *("3D-CNN, MARS", (None,), "c3d_mars.py"),
                dataset="mars",
                starts_from=_FIRST_MODEL,
            ),
            Row(
                "3D-CNN, mean of the four",
                (45.2,),
                mean_of=tuple(
                    f"3D-CNN, {place}"
                    for place in ("PRID-2011", "iLIDS-VID", "Aerial", "MARS")
                ),
            ),
            Row("ASTPN, mean of the four", (40.5,)),
            Row("IDE, mean of the four", (35.25,)),
            Row("RCN, mean of the four", (28.25,)),
        ),
        dataset="prid2011/all0",
        note="the paper gives the mean over the four datasets only, in the text; the "
        "curves are those of evaluate.py --study=noise",
    ),
}

TABLES = _PAPER_1 | _PAPER_2
