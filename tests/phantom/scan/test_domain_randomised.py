from itertools import product

import numpy as np
import pytest
import torch

import kitlib.phantom.scan.domain_randomised as module
from kitlib.mri.stack import Plane
from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.scan.contrast import LOOKS, displayed, draw_look, occluded, received, textured
from kitlib.phantom.scan.domain_randomised import NEAR_MM, RandomSlice, draw_random_slice, landmarks_mm
from kitlib.terms import CELLS, LANDMARKS, LEVELS, Landmark, group2place

PLANES: tuple[Plane, ...] = ("sagittal", "axial")
PX = 96
WATER = np.linspace(0.2, 0.9, 11)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return draw_anatomy(np.full(len(CELLS), 0.6), np.random.default_rng(3))


@pytest.fixture(scope="module")
def plane2slices(anatomy: Anatomy) -> dict[Plane, list[RandomSlice]]:
    """Many of each plane."""
    rng = np.random.default_rng(8)
    return {
        plane: [draw_random_slice(anatomy, rng, plane=plane, px=PX) for _ in range(50)] for plane in PLANES
    }


@pytest.fixture(scope="module")
def slices(plane2slices: dict[Plane, list[RandomSlice]]) -> list[RandomSlice]:
    return [drawn for plane in PLANES for drawn in plane2slices[plane]]


def visible(drawn: RandomSlice) -> np.ndarray:
    """Mask (27,) of the points within the image and near the plane."""
    x, y, off_plane_mm = drawn.points.T
    rows, cols = drawn.shown
    within = (x >= cols.start) & (x <= cols.stop - 1) & (y >= rows.start) & (y <= rows.stop - 1)
    near_mm = np.array([NEAR_MM[one.place] for one in LANDMARKS]) + drawn.geometry.thickness_mm / 2
    return within & (np.abs(off_plane_mm) <= near_mm)


def test_images_are_finite_greys_with_contrast(slices: list[RandomSlice]) -> None:
    for drawn in slices:
        assert drawn.image.shape == (PX, PX)
        assert drawn.image.dtype == torch.float32
        assert torch.isfinite(drawn.image).all()
        assert drawn.image.min() >= 0
        assert drawn.image.max() <= 1
        assert drawn.image[drawn.shown].std() > 0.02


def test_beyond_what_is_shown_is_padding(slices: list[RandomSlice]) -> None:
    cropped = 0
    for drawn in slices:
        rest = drawn.image.clone()
        rest[drawn.shown] = 0
        assert not rest.any()
        cropped += drawn.image[drawn.shown].numel() < PX * PX
    assert 0 < cropped < len(slices)


def test_points_are_the_places_projected(anatomy: Anatomy, slices: list[RandomSlice]) -> None:
    """Mapping pixels back along the image's axes gives the patient positions."""
    for drawn in slices:
        geometry = drawn.geometry
        axes = np.stack([geometry.row_direction, geometry.column_direction])
        assert np.allclose(axes @ axes.T, np.eye(2))
        assert np.allclose(axes @ geometry.normal, 0)
        x, y, off_plane_mm = drawn.points.T[..., None]
        back = (
            geometry.origin_mm
            + x * geometry.spacing_mm[1] * axes[0]
            + y * geometry.spacing_mm[0] * axes[1]
            + off_plane_mm * geometry.normal
        )
        assert np.allclose(back, landmarks_mm(anatomy), atol=1e-6)


def test_slices_look_along_the_left_or_the_head(plane2slices: dict[Plane, list[RandomSlice]]) -> None:
    for plane, along in (("sagittal", 0), ("axial", 2)):
        assert all(drawn.geometry.normal[along] > 0.5 for drawn in plane2slices[plane])  # type: ignore[index]


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


def test_every_landmark_is_seen_and_none_always(plane2slices: dict[Plane, list[RandomSlice]]) -> None:
    homes = {"sagittal": ("canal", "foramen"), "axial": ("recess",)}
    for plane in PLANES:
        seen = np.mean([visible(drawn) for drawn in plane2slices[plane]], axis=0)
        assert (seen[[one.place in homes[plane] for one in LANDMARKS]] > 0).all()
        assert (seen < 1).all()


def test_left_is_at_the_right_of_an_axial_image(plane2slices: dict[Plane, list[RandomSlice]]) -> None:
    sides = [[i for i, one in enumerate(LANDMARKS) if one.side == side] for side in ("left", "right")]
    for plane, at in (("axial", 0), ("sagittal", 2)):
        for drawn in plane2slices[plane]:  # type: ignore[index]
            left, right = (drawn.points[side] for side in sides)
            assert (left[:, at] > right[:, at]).all()


def test_canal_points_lie_in_the_sac_where_the_plane_passes(
    anatomy: Anatomy, slices: list[RandomSlice]
) -> None:
    canal = [n for n, one in enumerate(LANDMARKS) if one.place == "canal"]
    checked = 0
    for drawn in slices:
        geometry = drawn.geometry
        canvas = Canvas.over(
            (geometry.origin_mm - anatomy.at_mm)[None],
            geometry.spacing_mm[0] * geometry.column_direction,
            geometry.spacing_mm[1] * geometry.row_direction,
            (PX, PX),
            geometry.thickness_mm,
            1,
        )
        near = [n for n in canal if visible(drawn)[n] and abs(drawn.points[n, 2]) < 1]
        if near:
            anatomy.paint(canvas)
        for n in near:
            col, row = np.rint(drawn.points[n, :2]).astype(int)
            assert canvas.tissue[0, row, col] in (Tissue.CSF, Tissue.ROOT, Tissue.CORD)
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("plane", PLANES)
def test_same_seed_same_slice(anatomy: Anatomy, plane: Plane) -> None:
    first, again, other = (
        draw_random_slice(anatomy, np.random.default_rng(seed), plane=plane, px=64) for seed in (5, 5, 6)
    )
    assert torch.equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    assert first.shown == again.shown
    assert not torch.equal(first.image, other.image)


def test_a_view_is_the_same_at_any_size(anatomy: Anatomy) -> None:
    """Twice as many pixels show the same field of view."""
    small, large = (
        draw_random_slice(anatomy, np.random.default_rng(12), plane="sagittal", px=px).geometry
        for px in (64, 128)
    )
    assert np.isclose(small.spacing_mm[0] * 64, large.spacing_mm[0] * 128)


def test_coarse_pixels_do_not_shift_the_image(anatomy: Anatomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The centre of all CSF stays in place, except for what coarse pixels miss."""

    def csf(tissue: torch.Tensor, *_: object) -> torch.Tensor:
        return (tissue == Tissue.CSF).float().mean(dim=0)

    monkeypatch.setattr(module, "textured", csf)
    monkeypatch.setattr(module, "received", lambda image, *_: image)
    monkeypatch.setattr(module, "displayed", lambda image, *_: image)
    monkeypatch.setattr(module, "occluded", lambda image, *_: image)
    monkeypatch.setattr(module, "COARSE_MM", (3.0, 3.0))
    middles = []
    for rate in (0, 1):
        monkeypatch.setattr(module, "COARSE_RATE", rate)
        images = (draw_random_slice(anatomy, np.random.default_rng(seed), plane="axial") for seed in range(9))
        middles.append(np.array([np.argwhere(drawn.image.numpy() > 0.5).mean(axis=0) for drawn in images]))
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
def test_the_device_is_honoured(anatomy: Anatomy, plane: Plane, device: str) -> None:
    image = draw_random_slice(anatomy, np.random.default_rng(0), plane=plane, px=64, device=device).image
    assert image.device.type == device


def test_no_tensor_is_made_on_a_default_device() -> None:
    """Here that is the meta device, without data, so that any tensor made there fails."""
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
