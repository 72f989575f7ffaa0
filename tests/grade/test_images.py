"""Single images: what is read, and what is refused with its reason."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kitlib.errors import DataError
from kitlib.grade import images
from kitlib.grade.images import read_image
from tests.mri.builders import make_series

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".npy"])
def test_a_grey_image_is_one_slice(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image{suffix}"
    if suffix == ".npy":
        np.save(file, GREY)
    else:
        Image.fromarray(GREY).save(file, **({"lossless": True} if suffix == ".webp" else {}))
    found = read_image(file)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, GREY[None])


def test_three_channels_are_three_slices_unless_they_are_equal(tmp_path: Path) -> None:
    slices = np.stack([GREY, GREY + 50, GREY + 100])
    Image.fromarray(np.moveaxis(slices, 0, -1)).save(tmp_path / "three.png")
    Image.fromarray(np.dstack([GREY] * 3)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "three.png"), slices)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), GREY[None])


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 1000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), deep[None])


def test_colours_of_a_palette_are_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(GREY % 4).convert("P")
    image.putpalette([0, 0, 0, 50, 50, 50, 10, 10, 10, 200, 200, 200])
    image.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "palette.png")[0], np.array([0, 50, 10, 200])[GREY % 4]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_an_opaque_alpha_channel_is_no_slice(tmp_path: Path, channels: int) -> None:
    pixels = np.dstack([GREY] * channels + [np.full_like(GREY, 255)])
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), GREY[None])


def test_a_file_of_dicom_is_one_slice(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "series", count=1)
    (file,) = folder.glob("*.dcm")
    assert read_image(file).shape[0] == 1


def _cut(file: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:200])


def _vast(file: Path) -> None:
    Image.fromarray(np.zeros((2, 5000), np.uint8)).save(file)


def _vaster(file: Path) -> None:
    Image.new("1", (11_000, 11_000)).save(file)


def _mask(file: Path) -> None:
    Image.fromarray(GREY > 20).save(file)


def _mask_array(file: Path) -> None:
    np.save(file, GREY > 20)


def _see_through(file: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(file)


def _pages(file: Path) -> None:
    page = Image.fromarray(GREY)
    page.save(file, save_all=True, append_images=[page])


def _text(file: Path) -> None:
    file.write_text("no image")


def _objects(file: Path) -> None:
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)


def _archive(file: Path) -> None:
    with file.open("wb") as content:
        np.savez(content, GREY)


def _claiming(file: Path) -> None:
    with file.open("wb") as content:
        header = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**10)}
        np.lib.format.write_array_header_1_0(content, header)


def _flat(file: Path) -> None:
    np.save(file, np.zeros(4))


def _absent(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        ("cut.png", _cut, "cannot be read"),
        ("vast.png", _vast, "too large"),
        ("vaster.png", _vaster, "too large"),
        ("mask.png", _mask, "no grey image"),
        ("mask.npy", _mask_array, "no grey image"),
        ("see_through.png", _see_through, "4 channels"),
        ("text.png", _text, "cannot be read"),
        ("pages.tif", _pages, "2 images"),
        ("text.dcm", _text, "slice.not_dicom"),
        ("objects.npy", _objects, "no array"),
        ("archive.npy", _archive, "no array"),
        ("claiming.npy", _claiming, "no array"),
        ("flat.npy", _flat, "no grey image"),
        ("absent.png", _absent, "no such image"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(tmp_path: Path, name: str, make, why: str) -> None:
    make(tmp_path / name)
    with pytest.raises(DataError, match=why) as refused:
        read_image(tmp_path / name)
    assert name in str(refused.value)


def test_a_large_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "image.npy", GREY)
    monkeypatch.setattr(images, "LIMITS", images.LIMITS.__class__(file_mb=1e-6))
    with pytest.raises(DataError, match="larger than"):
        read_image(tmp_path / "image.npy")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".tif"])
def test_a_spoilt_picture_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    rng, file = np.random.default_rng(0), tmp_path / f"image{suffix}"
    Image.fromarray(rng.integers(0, 255, (24, 20), np.uint8)).save(file)
    content = file.read_bytes()
    for _ in range(60):
        spoilt = bytearray(content[: rng.integers(10, len(content) + 1)])
        for place in rng.integers(0, len(spoilt), 3):
            spoilt[place] = rng.integers(256)
        file.write_bytes(spoilt)
        with contextlib.suppress(DataError):
            assert read_image(file).ndim == 3
