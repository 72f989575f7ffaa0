import numpy as np

from kitlib.phantom.body.grid import PATIENT, Canvas, LocalFrame

TILT = np.radians(30)
TILTED = LocalFrame(
    np.array([4.0, -3.0, 2.0]),
    np.array([[1, 0, 0], [0, np.cos(TILT), np.sin(TILT)], [0, -np.sin(TILT), np.cos(TILT)]]),
)


def canvas(samples: int = 1) -> Canvas:
    origins = np.stack([np.linspace(-20, 20, 11), np.full(11, -30.0), np.full(11, 30.0)], axis=1)
    return Canvas.over(origins, np.array([0, 0, -1.0]), np.array([0, 1.0, 0]), (61, 61), 3.6, samples)


def test_a_box_holds_every_point_within_its_bounds() -> None:
    sheet = canvas(samples=3)
    low, high = (-6, -9, -4), (5, 8, 10)
    inside = [
        (part >= start) & (part <= stop)
        for part, start, stop in zip(sheet.local(TILTED, sheet.everything), low, high)
    ]
    wanted = inside[0] & inside[1] & inside[2]
    box = sheet.box(TILTED, low, high)
    assert box is not None
    assert wanted.any()
    assert wanted[box].sum() == wanted.sum()
    assert wanted[box].numel() < wanted.numel() / 3


def test_no_box_where_the_canvas_does_not_reach() -> None:
    assert canvas().box(PATIENT, (50, 0, 0), (60, 10, 10)) is None


def test_a_round_rod_is_a_ball() -> None:
    sheet = canvas()
    centre = TILTED.to_patient(1, 2, 3)
    box, distance = sheet.rod(TILTED, ((1, 2, 3), (1, 2, 3)), (5, 5))  # type: ignore[misc]
    x, y, z = sheet.local(PATIENT, box)
    expected = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2).sqrt() - 5
    assert np.allclose(distance, expected, atol=1e-3)


def test_a_rod_tapers_and_stretches() -> None:
    sheet = canvas()
    sheet.fill(sheet.rod(PATIENT, ((0, -10, 0), (0, 10, 0)), (6, 3), (1, 1, 2)), 1)
    middle = sheet.tissue[5]  # the plane x = 0; columns are y + 30, rows 30 - z
    assert middle[:, 20].sum() == 2 * 12 - 1
    assert middle[:, 40].sum() == 2 * 6 - 1


def test_an_oblique_rod_has_a_tight_box_that_holds_all_of_it() -> None:
    sheet, ends, radii, stretch = (
        canvas(samples=3),
        np.array([(-9, -12, -8), (7, 10, 9)]),
        (4, 2),
        (1, 1.5, 0.7),
    )
    _, distance = sheet.rod(TILTED, ends, radii, stretch)  # type: ignore[misc]
    part = np.stack([place.numpy() for place in sheet.local(TILTED, sheet.everything)], axis=-1)
    way = (ends[1] - ends[0]) / stretch
    from_start = (part - ends[0]) / stretch
    share = np.clip(from_start @ way / (way @ way), 0, 1)[..., None]
    inside = (
        np.linalg.norm(from_start - share * way, axis=-1) < radii[0] + (radii[1] - radii[0]) * share[..., 0]
    )
    assert (distance < 0).sum() == inside.sum() > 500
    assert distance.numel() < 0.5 * inside.size
    loose = sheet.box(TILTED, (-13, -18, -11), (11, 16, 12))
    assert loose is not None
    assert distance.numel() < 0.8 * sheet.tissue[loose].numel()


def test_no_rod_where_no_plane_is() -> None:
    assert canvas().rod(PATIENT, ((26, 0, 0), (40, 5, 5)), (5, 5)) is None


def test_samples_spread_through_the_slice() -> None:
    sheet = canvas(samples=3)
    assert sheet.tissue.shape[0] == 33
    assert np.allclose(np.diff(sheet.origins_mm[:3, 0]), 1.2)
    assert np.allclose(sheet.middles().origins_mm[:, 0], np.linspace(-20, 20, 11))
    sheet.middles().tissue[:] = 7
    assert sheet.by_slice()[:, 1].eq(7).all()
    assert sheet.by_slice()[:, 0].eq(0).all()
