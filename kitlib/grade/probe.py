"""Linear probing of frozen features on labelled places, with whole studies held out."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from kitlib.embed.backbone import load_backbone
from kitlib.embed.field_of_view import square
from kitlib.embed.names import reads_volumes
from kitlib.embed.slices import Backbone
from kitlib.embed.volumes import VolumeBackbone, volume
from kitlib.errors import WeightsError
from kitlib.evaluate.places import WEIGHTS, judged_places, weighted_log_loss
from kitlib.grade.curve import JUDGED, MEASURES, SEEN
from kitlib.grade.labelled import read_labelled
from kitlib.grade.network import BATCH, Grader
from kitlib.grade.samples import ViewSamples
from kitlib.prepare.views import VIEW_PX, VIEWS
from kitlib.terms import CELLS, SEVERITIES

GRADER = "grader"
FEATURES = {
    GRADER: "shipped",
    "resnet10t": "shipped",
    "tf_efficientnet_lite0": "imagenet",
    "ct_resnet152": "ct",
}
"""Features to probe, and their weights: trained on phantoms (twice), photographs, and CT of patients."""
VOLUME_PX = 96
"""Side of a view as a volume: 160 px, as for whole stacks, is further from CT's mm, and 2.5 times as slow."""
COMPONENTS = 128
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation strengths of a head; one is chosen on a share HELD_OUT of its training studies."""
HELD_OUT = 0.25
UNKNOWN = dict.fromkeys(MEASURES, np.nan) | dict.fromkeys(("places", "studies", "severe"), 0)
"""The result if there are too few studies to train on and evaluate."""


def drawn_places(file: Path, most: int) -> tuple[ViewSamples, list[str]]:
    """Read labelled places of a table, sampled by `evenly`, with one line per kind of view on their counts.

    For errors see `read_labelled`.
    """
    every = read_labelled(file, slices=SEEN, px=VIEW_PX).samples
    samples = evenly(every, most)
    lines = [
        f"{VIEWS[view].text}: {(samples.views == view).sum()} of {(every.views == view).sum()} places, "
        f"of {len(np.unique(samples.persons[samples.views == view]))} studies"
        for view in np.unique(every.views)
    ]
    return samples, lines


def evenly(samples: ViewSamples, most: int, seed: int = 0) -> ViewSamples:
    """Sample at most `most` places per kind of view: one of every study, then a second of each, and so on."""
    order = np.random.default_rng(seed).permutation(len(samples))
    drawn = pd.DataFrame({"view": samples.views, "study": samples.persons}).iloc[order]
    by_turn = drawn.iloc[np.argsort(drawn.groupby(["view", "study"]).cumcount(), kind="stable")]
    return samples.take(np.sort(by_turn.groupby("view").head(most).index))


def probe(samples: ViewSamples, name: str, seeds: int) -> pd.DataFrame:
    """Evaluate heads on one of FEATURES: `judged_places` in one row per kind of view and seed.

    Each seed holds out a share JUDGED of the studies. Backbones that read volumes use only views of several
    slices. Raises WeightsError if the weights are not available, or if there are no such views.
    """
    if name == GRADER:
        vectors = grader_vectors(samples)
    else:
        px = VOLUME_PX if reads_volumes(name) else None
        backbone = load_backbone(name, weights=FEATURES[name], input_px=px)
        if isinstance(backbone, VolumeBackbone):
            samples = of_several_slices(samples, name)
        vectors = backbone_vectors(samples, backbone)
    return pd.DataFrame(
        {"view": VIEWS[view].text, "features": name, "seed": seed}
        | judged_head(samples.take(samples.views == view), vectors[samples.views == view], seed)
        for view in np.unique(samples.views)
        for seed in range(seeds)
    )


def of_several_slices(samples: ViewSamples, name: str) -> ViewSamples:
    """Select views of more than one slice. Raises WeightsError if there are none."""
    several = samples.take(samples.present.sum(axis=1) > 1)
    if not len(several):
        what = "the backbone reads volumes, but no place has several slices"
        raise WeightsError(what, where=name, hint="Images of three channels have three slices.")
    return several


def grader_vectors(samples: ViewSamples) -> np.ndarray:
    """Features (n, d) that the shipped grader's heads read."""
    parts = Grader.shipped().look(samples.images, samples.present, samples.views)
    return np.concatenate([part.vectors.numpy() for part in parts])


def backbone_vectors(samples: ViewSamples, backbone: Backbone) -> np.ndarray:
    """Features (n, d), averaged over the slices of each view, or over the positions of its volume."""
    vectors = []
    for first in range(0, len(samples), BATCH):
        rows = slice(first, first + BATCH)
        both = zip(samples.images[rows], samples.present[rows])
        views = [square(images[present], backbone.input_px) for images, present in both]
        if isinstance(backbone, VolumeBackbone):
            views = [volume(slices)[None] for slices in views]
        tokens = backbone.embed(np.concatenate(views))
        of_each = len(tokens) // sum(map(len, views)) * np.cumsum([len(inputs) for inputs in views])
        vectors += [own.mean(axis=0) for own in np.split(tokens, of_each[:-1])]
    return np.array(vectors)


def judged_head(samples: ViewSamples, vectors: np.ndarray, seed: int) -> dict[str, float]:
    """Fit a head on a random split of the studies and evaluate it on the others with `judged_places`.

    Returns UNKNOWN if there are too few studies for both, or only one severity.
    """
    learnt, judged = split_by_study(samples.persons, JUDGED, seed)
    severities = samples.severities
    fitted, held_out = (learnt[part] for part in split_by_study(samples.persons[learnt], HELD_OUT, seed))
    if len(np.unique(severities[fitted])) < 2:
        return UNKNOWN

    def loss(strength: float) -> float:
        head = _head(vectors, severities, fitted, strength)
        return weighted_log_loss(severities[held_out], _probabilities(head, vectors[held_out]))

    head = _head(vectors, severities, learnt, min(STRENGTHS, key=loss))
    levels = np.array([cell.level for cell in CELLS])[samples.cells[judged]]
    return judged_places(
        severities[judged], _probabilities(head, vectors[judged]), levels, samples.persons[judged]
    )


def split_by_study(studies: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split into positions to train on, and those of a share of the studies; a single study is held out."""
    if len(np.unique(studies)) < 2:
        return np.arange(0), np.arange(len(studies))
    split = GroupShuffleSplit(1, test_size=share, random_state=seed)
    return next(split.split(studies, groups=studies))


def probe_table(probed: pd.DataFrame) -> pd.DataFrame:
    """Mean, minimum and maximum over the seeds as text, one row per kind of view and features."""
    rows = []
    for (view, features), of_it in probed.groupby(["view", "features"], sort=False):
        scores = {
            name: f"{of_it[name].mean():.3f} ({of_it[name].min():.3f} to {of_it[name].max():.3f})"
            for name in MEASURES
        }
        counts = of_it[["places", "severe", "studies"]].mean().round().astype(int)
        rows.append({"view": view, "features": features, **scores, **counts})
    return pd.DataFrame(rows)


def _head(vectors: np.ndarray, severities: np.ndarray, rows: np.ndarray, strength: float) -> Pipeline:
    """Fit a multinomial regression on principal components of these rows."""
    components = min(COMPONENTS, vectors.shape[1], len(rows))
    head = make_pipeline(
        StandardScaler(),
        PCA(components, whiten=True, random_state=0),
        LogisticRegression(C=strength, max_iter=1000),
    )
    own = severities[rows]
    return head.fit(vectors[rows], own, logisticregression__sample_weight=WEIGHTS[own])


def _probabilities(head: Pipeline, vectors: np.ndarray) -> np.ndarray:
    """Predict probabilities (n, 3), even if the head was trained on two severities only."""
    probabilities = np.zeros((len(vectors), len(SEVERITIES)))
    probabilities[:, head.classes_] = head.predict_proba(vectors)
    return probabilities
