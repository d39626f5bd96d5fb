"""Which conclusions of Gao & Nevatia 2018 hold on rendered people, and which do not.

for table in 2 3 4 5 8 10; do
  python train.py --table=$table --preset=small --seeds=3; done
python benchmarks/walkers_study.py --runs=runs

Each conclusion compares two rows of a table: the difference of their mAP in the paper,
here, and its 95 % interval had other persons and other runs been drawn. It holds where
the whole interval is on the paper's side of 0.
"""

import dataclasses
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from configs import tables
from reid_jax.cli import ending
from reid_jax.retrieval import summary
from reid_jax.scoring import text_tables
from reid_jax.tables import collect


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """A sentence of the paper, Sec. 4.2, and the rows it is about."""

    text: str
    table: str
    better: str
    worse: str
    alike: bool = False  # the paper sees no difference


CONCLUSIONS = (
    Conclusion("average pooling beats max pooling", "2", "avg pool", "max pool"),
    Conclusion("four frames beat one", "3", "T=4", "T=1"),
    Conclusion("four frames beat two", "3", "T=4", "T=2"),
    Conclusion("four frames beat eight", "3", "T=4", "T=8"),
    Conclusion("softmax and sigmoid are alike", "4", "sigmoid", "softmax", alike=True),
    Conclusion(
        *("temporal convolution beats FC", "5"),
        *("spatial + temporal conv", "spatial conv + FC"),
    ),
    Conclusion("LSTM beats GRU", "8", "LSTM", "GRU"),
    Conclusion("pooling beats the image model", "10", "Ours (pool)", "Ours (image)"),
    Conclusion("attention beats the image model", "10", "Ours (att)", "Ours (image)"),
    Conclusion("attention beats pooling", "10", "Ours (att)", "Ours (pool)"),
    Conclusion("LSTM is below the image model", "10", "Ours (image)", "Ours (RNN)"),
    Conclusion("LSTM is below pooling", "10", "Ours (pool)", "Ours (RNN)"),
    Conclusion("3-D is below the image model", "10", "Ours (image)", "Ours (3Dconv)"),
    Conclusion("re-ranking helps mAP", "10", "Ours (re-rank)", "Ours (att)"),
)


def main(arguments: list[str] | None = None) -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--runs", default="runs", help="the folder of all workdirs")
    parser.add_argument("--preset", default="small", choices=list(tables.PRESETS))
    parser.add_argument("--dataset", help="dataset that the runs are scored on")
    args = parser.parse_args(arguments)
    ending.quieten()
    collected = functools.cache(
        lambda table: collect.collect(
            table, pathlib.Path(args.runs), preset=args.preset, dataset=args.dataset
        )
    )
    lines = [["conclusion", "paper", "here", "95 %", ""]]
    try:
        lines += [judge(c, collected(c.table)) for c in CONCLUSIONS]
    except (ValueError, OSError) as error:
        parser.error(error)
    print(text_tables.aligned(lines, num_left=1))


def judge(conclusion: Conclusion, result: collect.Result) -> list[str]:
    """A line: the difference in the paper, here, its interval, and what follows."""
    paper = {row.name: row.paper[0] for row in result.table.rows}
    in_paper = f"{paper[conclusion.better] - paper[conclusion.worse]:+.1f}"
    ours = result.measured[conclusion.better]
    theirs = result.measured[conclusion.worse]
    if ours is None or theirs is None:
        return [conclusion.text, in_paper, "-", "-", "not run"]
    interval = summary.difference(
        [scored.ranking for scored in ours.scored],
        [scored.ranking for scored in theirs.scored],
        ours.scored[0].query.pids,
    )
    low, high = 100 * interval.mean_ap
    if conclusion.alike:
        verdict = "no difference seen" if low <= 0 <= high else "they differ"
    elif low > 0:
        verdict = "holds"
    else:
        verdict = "the other way round" if high < 0 else "not decided"
    here = f"{100 * (ours.mean[0] - theirs.mean[0]):+.1f}"
    return [conclusion.text, in_paper, here, f"{low:+.1f} {high:+.1f}", verdict]


if __name__ == "__main__":
    main()
