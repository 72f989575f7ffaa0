from itertools import product

import numpy as np
import pytest
import torch

import kitlib.phantom.scan.twin as twin_module
from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.scan.contrast import LOOKS, displayed, draw_look, occluded, received, textured
from kitlib.phantom.scan.twin import NEAR_MM, Twin, draw_twin, landmarks_mm
from kitlib.terms import CELLS, LANDMARKS, LEVELS, Kind, Landmark, group2place

PLANES: tuple[Kind, ...] = ("sagittal", "axial")
PX = 96
WATER = np.linspace(0.2, 0.9, 11)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return draw_anatomy(np.full(len(CELLS), 0.6), np.random.default_rng(3))


@pytest.fixture(scope="module")
def twins(anatomy: Anatomy) -> list[Twin]:
    """Many of each plane."""
    rng = np.random.default_rng(8)
    return [draw_twin(anatomy, rng, plane=plane, px=PX) for plane in PLANES for _ in range(40)]


def test_images_are_finite_greys_with_contrast(twins: list[Twin]) -> None:
    for twin in twins:
        assert twin.image.shape == (PX, PX)
        assert twin.image.dtype == torch.float32
        assert torch.isfinite(twin.image).all()
        assert twin.image.min() >= 0
        assert twin.image.max() <= 1
        assert twin.image[twin.shown].std() > 0.02


def test_beyond_what_is_shown_is_padding(twins: list[Twin]) -> None:
    cropped = 0
    for twin in twins:
        rest = twin.image.clone()
        rest[twin.shown] = 0
        assert not rest.any()
        cropped += twin.image[twin.shown].numel() < PX * PX
    assert 0 < cropped < len(twins)


def test_points_are_the_places_projected(anatomy: Anatomy, twins: list[Twin]) -> None:
    """Going back from pixels along the image's own axes gives the places in the patient."""
    for twin in twins:
        view = twin.view
        axes = np.stack([view.row_direction, view.column_direction])
        assert np.allclose(axes @ axes.T, np.eye(2))
        assert np.allclose(axes @ view.normal, 0)
        assert view.normal[0 if twin.kind == "sagittal" else 2] > 0.5
        x, y, off_plane_mm = twin.points.T[..., None]
        back = (
            view.origin_mm
            + x * view.spacing_mm[1] * axes[0]
            + y * view.spacing_mm[0] * axes[1]
            + off_plane_mm * view.normal
        )
        assert np.allclose(back, landmarks_mm(anatomy), atol=1e-6)


def test_landmarks_are_where_the_cells_are_graded(anatomy: Anatomy) -> None:
    landmark2mm = dict(zip(LANDMARKS, landmarks_mm(anatomy), strict=True))
    for cell in CELLS:
        landmark = Landmark(group2place[cell.group], cell.level, cell.side)
        assert np.array_equal(landmark2mm[landmark], anatomy.place_mm(cell))


def test_neighbours_continue_the_row_of_canal_points(anatomy: Anatomy) -> None:
    canal = landmarks_mm(anatomy)[:7]
    assert [one.level for one in LANDMARKS[:7]] == ["t12_l1", *LEVELS, "s1_s2"]
    steps = np.linalg.norm(np.diff(canal, axis=0), axis=1)
    assert (np.diff(canal[:, 2]) < 0).all()
    assert steps.min() > 15
    assert steps.max() < 50


def test_visible_points_lie_in_what_is_shown_and_near_the_plane(twins: list[Twin]) -> None:
    for twin in twins:
        x, y, off_plane_mm = twin.points[twin.visible].T
        rows, cols = twin.shown
        assert ((x >= cols.start) & (x < cols.stop) & (y >= rows.start) & (y < rows.stop)).all()
        assert (np.abs(off_plane_mm) <= max(NEAR_MM.values()) + twin.view.thickness_mm / 2).all()


def test_every_landmark_is_seen_and_none_always(twins: list[Twin]) -> None:
    homes = {"sagittal": ("canal", "foramen"), "axial": ("recess",)}
    for plane in PLANES:
        seen = np.mean([twin.visible for twin in twins if twin.kind == plane], axis=0)
        assert (seen[[one.landmark in homes[plane] for one in LANDMARKS]] > 0).all()
        assert (seen < 1).all()


def test_left_is_at_the_right_of_an_axial_image(twins: list[Twin]) -> None:
    sides = [[i for i, one in enumerate(LANDMARKS) if one.side == side] for side in ("left", "right")]
    for twin in twins:
        left, right = (twin.points[side] for side in sides)
        if twin.kind == "axial":
            assert (left[:, 0] > right[:, 0]).all()
        else:
            assert (left[:, 2] > right[:, 2]).all()


def test_canal_points_lie_in_the_sac_where_the_plane_passes(anatomy: Anatomy, twins: list[Twin]) -> None:
    canal = [n for n, one in enumerate(LANDMARKS) if one.landmark == "canal"]
    checked = 0
    for twin in twins:
        view = twin.view
        canvas = Canvas.over(
            (view.origin_mm - anatomy.at_mm)[None],
            view.spacing_mm[0] * view.column_direction,
            view.spacing_mm[1] * view.row_direction,
            (PX, PX),
            view.thickness_mm,
            1,
        )
        near = [n for n in canal if twin.visible[n] and abs(twin.points[n, 2]) < 1]
        if near:
            anatomy.paint(canvas)
        for n in near:
            col, row = np.rint(twin.points[n, :2]).astype(int)
            assert canvas.tissue[0, row, col] in (Tissue.CSF, Tissue.ROOT, Tissue.CORD)
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("plane", PLANES)
def test_same_seed_same_twin(anatomy: Anatomy, plane: Kind) -> None:
    first, again, other = (
        draw_twin(anatomy, np.random.default_rng(seed), plane=plane, px=64) for seed in (5, 5, 6)
    )
    assert torch.equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    assert first.shown == again.shown
    assert not torch.equal(first.image, other.image)


def test_a_view_is_the_same_at_any_size(anatomy: Anatomy) -> None:
    """Twice the pixels show the same millimetres."""
    small, large = (
        draw_twin(anatomy, np.random.default_rng(12), plane="sagittal", px=px).view for px in (64, 128)
    )
    assert np.isclose(small.spacing_mm[0] * 64, large.spacing_mm[0] * 128)


def test_coarse_pixels_do_not_shift_the_image(anatomy: Anatomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of all CSF stays where it is, but for what coarse pixels miss of it."""

    def csf(tissue: torch.Tensor, *_: object) -> torch.Tensor:
        return (tissue == Tissue.CSF).float().mean(dim=0)

    monkeypatch.setattr(twin_module, "textured", csf)
    monkeypatch.setattr(twin_module, "received", lambda image, *_: image)
    monkeypatch.setattr(twin_module, "displayed", lambda image, *_: image)
    monkeypatch.setattr(twin_module, "occluded", lambda image, *_: image)
    monkeypatch.setattr(twin_module, "COARSE_MM", (3.0, 3.0))
    middles = []
    for rate in (0, 1):
        monkeypatch.setattr(twin_module, "COARSE_RATE", rate)
        drawn = (draw_twin(anatomy, np.random.default_rng(seed), plane="axial") for seed in range(9))
        middles.append(np.array([np.argwhere(twin.image.numpy() > 0.5).mean(axis=0) for twin in drawn]))
    assert np.abs(np.median(middles[0] - middles[1], axis=0)).max() < 0.4


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
        ),
    ],
)
@pytest.mark.parametrize("plane", PLANES)
def test_the_device_is_honoured(anatomy: Anatomy, plane: Kind, device: str) -> None:
    image = draw_twin(anatomy, np.random.default_rng(0), plane=plane, px=64, device=device).image
    assert image.device.type == device


def test_no_tensor_is_made_on_a_default_device() -> None:
    """Here that is one without data, so that any tensor made there fails."""
    rng = np.random.default_rng(4)
    tissue = torch.randint(0, Tissue.NUCLEUS, (2, 48, 48), dtype=torch.uint8)
    height_mm = torch.linspace(-80, 80, 48)[:, None].expand(48, 48)
    with torch.device("meta"):
        for _ in range(30):
            look = draw_look(WATER, rng)
            image = received(textured(tissue, look, 1.5, rng), height_mm.T, height_mm, look, 1.5, rng)
            assert occluded(displayed(image, look, rng), rng).isfinite().all()


def test_contrasts_vary() -> None:
    rng = np.random.default_rng(1)
    looks = [draw_look(WATER, rng) for _ in range(200)]
    assert {look.kind for look in looks} == set(LOOKS)
    for one, other in product([Tissue.CSF], [Tissue.MARROW, Tissue.FAT, Tissue.MUSCLE, Tissue.ANNULUS]):
        brighter = np.mean([look.greys[one] > look.greys[other] for look in looks])
        assert 0.2 < brighter < 0.95
    assert all(look.greys.shape == (Tissue.NUCLEUS + len(WATER),) for look in looks)


def test_spines_say_that_they_are_transitional(anatomy: Anatomy, twins: list[Twin]) -> None:
    assert {twin.transitional for twin in twins} == {anatomy.spine.transitional}
