"""Real sagittal images with canal points: SPIDER's from its masks, the volume's set by hand.

The masks colour each vertebra, from L5 (red) upward. A canal point is set from the posterior wall: midway
between the lower rear corner of one body and the upper rear corner of the next, SAC_BACK_MM (half a dural
sac and what lies before it) further back, square to the line between the bodies. For L5/S1, where S1 has no
mask, half of the disc above stands for the way from L5's corner to the disc's middle. Spacing is unknown: it
is taken from the middles of neighbouring bodies, which lie VERTEBRA_MM apart on average (a body of 27.5 mm
and a disc of 9 mm).
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from kitlib.localise.train.perturb import Case

VERTEBRA_MM = 36.5
SAC_BACK_MM = 8.0
COLOURS_BGR = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 0, 255), (255, 255, 0))
"""L5, L4, L3, L2, L1 and T12."""
LEVELS_UP = ("l4_l5", "l3_l4", "l2_l3", "l1_l2", "t12_l1")
FAR_LATERAL = ("10010_0", "10010_14", "10016_4")  # images without a canal or vertebral body
LEAST_BODY_PX = 400
LEAST_SOLIDITY = (0.7, 0.85, 0.85, 0.85, 0.85, 0.85)  # of bodies cut in the middle; L5 may be waisted

VOLUME_DISCS = ((187, 13), (185, 39), (181, 67), (175, 98), (168, 130), (162, 164), (157, 199))
"""Column and row of the canal at each disc of the volume's middle slices; the sacrum is not in view."""


def spider_cases(folder: Path) -> Iterator[Case]:
    """Every image whose bodies are cut through the middle, so that the canal lies behind them."""
    for file in sorted((folder / "masks").glob("*.png")):
        mask = cv2.imread(str(file))[::-1]
        bodies = [_body(mask, *one) for one in zip(COLOURS_BGR, LEAST_SOLIDITY)]
        if all(body is not None for body in bodies[:5]):
            image = cv2.imread(str(folder / "images" / file.name), cv2.IMREAD_GRAYSCALE)[::-1]
            px_mm, level2xy = canal_points([body for body in bodies if body is not None])
            yield Case(file.stem, image, (px_mm, px_mm), level2xy)


def far_lateral(folder: Path) -> Iterator[np.ndarray]:
    """Images of SPIDER beside the spine."""
    for name in FAR_LATERAL:
        yield cv2.imread(str(folder / "images" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)[::-1]


def volume(folder: Path) -> np.ndarray:
    """The thoracolumbar volume as sagittal slices (n, H, W) of 1 mm, right to left, head up, face left."""
    import SimpleITK as sitk

    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "t2_lumbar.nii.gz")))
    return voxels[::-1, ::-1, ::-1].transpose(2, 0, 1)


def _body(mask: np.ndarray, colour: tuple[int, int, int], least_solidity: float) -> np.ndarray | None:
    """Pixels (n, 2), column and row, of a vertebral body that is apart from its arch; None if it is not."""
    alike = (mask == np.array(colour)).all(axis=2).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(alike)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    pixels = np.argwhere(labels == largest)[:, ::-1].astype(np.float32)
    hull = cv2.contourArea(cv2.convexHull(pixels))
    return pixels if len(pixels) >= LEAST_BODY_PX and len(pixels) > least_solidity * hull else None


def canal_points(bodies: list[np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    """Millimetres a pixel and canal points (2,) by level, of bodies from L5 upward."""
    middles = np.array([body.mean(axis=0) for body in bodies])
    steps = -np.diff(middles, axis=0)  # downward
    px_mm = VERTEBRA_MM / float(np.median(np.linalg.norm(steps[:4], axis=1)))
    downs = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    level2xy = {}
    for level, lower, upper, down in zip(LEVELS_UP, bodies, bodies[1:], downs):
        back = np.array([down[1], -down[0]])
        wall = (_corner(upper, back, down) + _corner(lower, back, -down)) / 2
        level2xy[level] = wall + SAC_BACK_MM / px_mm * back
    # L5 leans forward: its own walls give the direction down, and half the disc above the distance to S1.
    above = np.array([downs[0][1], -downs[0][0]])
    ends = _corner(bodies[1], above, downs[0]), _corner(bodies[0], above, -downs[0])
    disc = float(np.linalg.norm(ends[0] - ends[1]))
    down = _wall_down(bodies[0], downs[0])
    back = np.array([down[1], -down[0]])
    level2xy["l5_s1"] = _corner(bodies[0], back, down) + disc / 2 * down + SAC_BACK_MM / px_mm * back
    return px_mm, level2xy


def _corner(body: np.ndarray, back: np.ndarray, down: np.ndarray) -> np.ndarray:
    return body[int((body @ (back + down)).argmax())]


def _wall_down(body: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The direction (2,) of a body's posterior wall."""
    back = np.array([down[1], -down[0]])
    wall = _corner(body, back, down) - _corner(body, back, -down)
    return wall / np.linalg.norm(wall)
