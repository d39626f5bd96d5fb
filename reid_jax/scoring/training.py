"""Scores a network while it is being trained."""

import pathlib
from collections.abc import Callable

from jax.sharding import Mesh

from reid_jax import peers
from reid_jax.input.source import Source
from reid_jax.runs import checkpoints
from reid_jax.runs import embeddings as run_embeddings
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import cache_key
from reid_jax.scoring import embeddings, metrics, scores


def build_scorer(
    config, workdir: pathlib.Path, source: Source, embed_step: Callable, mesh: Mesh
) -> Callable[..., dict[str, float]]:
    """Builds the function (parameters, statistics) → {"mean_ap": …, "rank1": …}.

    The fractions in [0, 1] are of the headline protocol, by `metrics.training_metric`.
    The embeddings are stored beside the run, so that its evaluation need not compute
    them again.
    """
    metric = metrics.training_metric(config.eval.metric)
    protocol = scores.headline(config.eval.protocol, source)
    path = run_folder.eval_folder(workdir, source.name) / "embeddings.npz"

    def score(params, batch_stats) -> dict[str, float]:
        network = run_embeddings.Network(embed_step, params, batch_stats, mesh)
        splits = embeddings.embed_queries_and_gallery(network, source)
        if peers.is_main_process():
            weights = checkpoints.weights_fingerprint(params, batch_stats)
            key = cache_key(config, source.fingerprint, weights)
            run_embeddings.save(path, key, {"trained": splits})
        peers.wait_for_all("scored")  # until the main process has written
        splits = embeddings.as_scored(splits, config)
        rules = protocol, config.eval.ap, source.clean_labels
        scored = scores.score("trained", splits, metric, *rules)
        ranking = scored.ranking
        return {"mean_ap": ranking.mean_ap, "rank1": float(ranking.cmc[0])}

    return score
