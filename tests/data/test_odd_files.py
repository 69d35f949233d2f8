"""to_square on every kind of file that people have called an image. Expected pixels come from the picture before encoding."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from alexnet.data.image import Unreadable, to_fit, to_square
from tests.data.making import encode, jpeg, jpeg_of, picture, png_of, rotated

SIZE = 32
PICTURE = picture(48, 48)
EXPECTED = to_square(PICTURE, SIZE)


def close(actual: np.ndarray, expected: np.ndarray, mean: float = 2.0) -> None:
    assert actual.shape == (SIZE, SIZE, 3)
    assert actual.dtype == np.uint8
    assert np.abs(actual.astype(int) - expected).mean() < mean


def reason(data: bytes) -> str:
    with pytest.raises(Unreadable) as error:
        to_square(data, SIZE)
    assert "0x" not in str(error.value)  # an address would make the manifest differ from run to run
    return str(error.value)


def test_plain_jpeg() -> None:
    close(to_square(jpeg(PICTURE), SIZE), EXPECTED)


def test_progressive_jpeg() -> None:
    close(to_square(jpeg(PICTURE, progressive=True), SIZE), EXPECTED)


def test_jpeg_with_rubbish_behind_its_end() -> None:
    close(to_square(jpeg(PICTURE) + b"\0" * 999, SIZE), EXPECTED)


def test_large_jpeg_decoded_at_a_fraction() -> None:
    # 8 times as large: the decoder's own reduction must not show.
    close(to_square(jpeg(picture(400, 400)), SIZE), to_square(picture(400, 400), SIZE))


def test_grey_jpeg_has_three_equal_channels() -> None:
    grey = Image.fromarray(PICTURE).convert("L")
    square = to_square(jpeg(grey), SIZE)
    assert (square[..., 0] == square[..., 1]).all()
    assert (square[..., 0] == square[..., 2]).all()
    close(square, to_square(np.asarray(grey), SIZE))


def test_cmyk_jpeg() -> None:
    # Pillow writes CMYK the way Adobe does, inverted: a reader that ignores it shows the negative.
    close(to_square(jpeg(Image.fromarray(PICTURE).convert("CMYK")), SIZE), EXPECTED)


def test_png() -> None:
    np.testing.assert_array_equal(to_square(encode(PICTURE, "PNG"), SIZE), EXPECTED)


@pytest.mark.parametrize("format", ["BMP", "TIFF", "PPM"])
def test_other_exact_formats(format: str) -> None:
    np.testing.assert_array_equal(to_square(encode(PICTURE, format), SIZE), EXPECTED)


def test_webp() -> None:
    close(to_square(encode(PICTURE, "WEBP", quality=95), SIZE), EXPECTED, mean=3)


def test_one_bit() -> None:
    bits = np.zeros((48, 48), bool)
    bits[:, 24:] = True
    square = to_square(encode(Image.fromarray(bits), "PNG"), SIZE)
    assert square[16, 4].tolist() == [0, 0, 0]
    assert square[16, 28].tolist() == [255, 255, 255]


def test_palette() -> None:
    palette = Image.fromarray(PICTURE).quantize(256)
    close(to_square(encode(palette, "PNG"), SIZE), to_square(np.asarray(palette.convert("RGB")), SIZE), mean=0.01)


def test_transparent_palette_lies_on_white() -> None:
    half = np.zeros((48, 48), np.uint8)
    half[:, 24:] = 1
    image = Image.fromarray(half, "P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    square = to_square(encode(image, "PNG", transparency=1), SIZE)
    assert square[16, 4].tolist() == [200, 0, 0]
    assert square[16, 28].tolist() == [255, 255, 255]


def test_alpha_lies_on_white() -> None:
    rgba = np.zeros((48, 48, 4), np.uint8)
    rgba[..., 0] = 100
    rgba[:, 24:, 3] = 255  # the left half is transparent black-red
    square = to_square(encode(rgba, "PNG"), SIZE)
    assert square[16, 4].tolist() == [255, 255, 255]
    assert square[16, 28].tolist() == [100, 0, 0]


def test_half_transparent_grey_lies_on_white() -> None:
    image = Image.merge("LA", [Image.new("L", (48, 48), 0), Image.new("L", (48, 48), 128)])
    assert np.abs(to_square(encode(image, "PNG"), SIZE).astype(int) - 127).max() <= 1


def test_transparent_colour_of_an_rgb_png_lies_on_white() -> None:
    image = Image.new("RGB", (48, 48), (0, 255, 0))
    image.paste((9, 9, 9), (0, 0, 24, 48))
    square = to_square(encode(image, "PNG", transparency=(0, 255, 0)), SIZE)
    assert square[16, 4].tolist() == [9, 9, 9]
    assert square[16, 28].tolist() == [255, 255, 255]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(format: str) -> None:
    # Read as 8 bits it would be white nearly everywhere.
    ramp = np.linspace(0, 65535, 48).astype(np.uint16)
    square = to_square(encode(Image.fromarray(np.tile(ramp, (48, 1))), format), SIZE)
    expected = to_square(np.tile(np.linspace(0, 255, 48).round().astype(np.uint8), (48, 1)), SIZE)
    close(square, expected, mean=1)
    assert (square[..., 0] == square[..., 2]).all()


def test_sixteen_bit_rgb() -> None:
    deep = (PICTURE.astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    close(to_square(png_of(48, 48, rows, depth=16), SIZE), EXPECTED)


def test_thirty_two_bit_integers_count_as_sixteen() -> None:
    image = Image.fromarray(np.full((48, 48), 65535 // 2, np.int32))
    assert np.unique(to_square(encode(image, "TIFF"), SIZE)).tolist() in ([127], [128])


def test_floating_point_has_no_known_scale() -> None:
    assert "floating-point" in reason(encode(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF"))


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (2, np.fliplr(PICTURE)),
        (3, PICTURE[::-1, ::-1]),
        (4, np.flipud(PICTURE)),
        (5, PICTURE.transpose(1, 0, 2)),
        (6, np.rot90(PICTURE, 1)),
        (7, PICTURE[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(PICTURE, -1)),
    ],
)
def test_exif_rotation_is_applied(orientation: int, stored: np.ndarray) -> None:
    close(to_square(rotated(np.ascontiguousarray(stored), orientation), SIZE), EXPECTED)
    # Pillow's own way of it, as a second opinion.
    with Image.open(io.BytesIO(rotated(np.ascontiguousarray(stored), orientation))) as image:
        close(to_square(np.asarray(ImageOps.exif_transpose(image)), SIZE), EXPECTED)


def test_exif_rotation_of_a_wide_photograph() -> None:
    wide = picture(40, 64)
    close(to_square(rotated(np.ascontiguousarray(np.rot90(wide, 1)), 6), SIZE), to_square(wide, SIZE))


def test_exif_rotation_of_a_png() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = np.ascontiguousarray(PICTURE[::-1, ::-1])
    close(to_square(encode(upside_down, "PNG", exif=exif.tobytes()), SIZE), EXPECTED)


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"]
)
def test_broken_exif_block_does_no_harm(block: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's word on it
        close(to_square(jpeg(PICTURE, exif=block), SIZE), EXPECTED)


def test_unknown_orientation_does_no_harm() -> None:
    close(to_square(rotated(PICTURE, 77), SIZE), EXPECTED)


def test_png_named_jpeg_is_told_by_content() -> None:
    # Only bytes reach to_square; test_prepare has the same through a folder.
    np.testing.assert_array_equal(to_square(encode(PICTURE, "PNG"), SIZE), EXPECTED)


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (48, 48), colour) for colour in ("red", "lime", "blue")]
    square = to_square(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), SIZE)
    assert np.unique(square.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, -2, -1])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_truncated_jpeg(kept: float, options: dict) -> None:
    data = jpeg(picture(200, 200), **options)
    cut = int(kept) if kept < 0 else int(len(data) * kept)
    assert reason(data[:cut]).startswith("truncated")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_truncated_jpeg_with_an_end_marker(options: dict) -> None:
    data = jpeg(picture(200, 200), **options)
    assert reason(data[: len(data) // 2] + b"\xff\xd9").startswith("truncated")


def test_jpeg_with_a_few_stray_bytes_inside_is_kept() -> None:
    # Some of ILSVRC's are like that, and every decoder gets over it.
    data = jpeg(PICTURE)
    close(to_square(data[:-2] + b"\x12\x34\x56" + data[-2:], SIZE), EXPECTED)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_other_truncated_files_are_refused(format: str, kept: float) -> None:
    data = encode(picture(100, 100), format)
    reason(data[: int(len(data) * kept)])


def test_truncated_png_says_so() -> None:
    data = encode(picture(100, 100), "PNG")
    assert reason(data[: len(data) // 2]).startswith("truncated")


def test_truncated_cmyk_jpeg() -> None:
    data = jpeg(Image.fromarray(picture(100, 100)).convert("CMYK"))
    assert reason(data[: len(data) // 2]).startswith("truncated")


def test_empty_file() -> None:
    assert reason(b"") == "empty file (0 bytes)"


@pytest.mark.parametrize(
    "data", [b"not an image at all", b"<svg/>", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\0" * 50]
)
def test_rubbish(data: bytes) -> None:
    assert reason(data)


def test_postscript_is_not_run() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    assert "not an image" in reason(eps)


@pytest.mark.parametrize("bomb", [png_of(20_000, 20_000), jpeg_of(65_000, 65_000)])
def test_decompression_bomb_is_refused(bomb: bytes) -> None:
    assert "decompression bomb" in reason(bomb)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_just_under_a_bomb_is_looked_at() -> None:
    # 178.9 million pixels claimed: allowed, so that it fails for having no data.
    assert "bomb" not in reason(png_of(178_956, 1000))


@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1), (1, 1), (3, 20_000)])
def test_extreme_shapes(height: int, width: int) -> None:
    image = picture(height, width)
    close(to_square(jpeg(image, subsampling=0), SIZE), to_square(image, SIZE), mean=4)
    np.testing.assert_array_equal(to_square(encode(image, "PNG"), SIZE), to_square(image, SIZE))


def test_only_the_square_is_computed() -> None:
    # All of it, resized to a height of 256, would be 12 GB.
    assert to_square(jpeg(picture(1, 60_000)), 256).shape == (256, 256, 3)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)],
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(Unreadable, match="array"):
        to_square(array, SIZE)


def test_the_whole_of_an_image_is_upright_and_no_larger_than_asked_for() -> None:
    wide = picture(40, 80)
    assert np.array_equal(to_fit(encode(wide, "PNG"), 640), wide)
    assert to_fit(encode(wide, "PNG"), 20).shape == (10, 20, 3)
    turned = to_fit(rotated(wide, 6), 640)
    close_to = np.rot90(wide, -1)
    assert turned.shape == (80, 40, 3) and np.abs(turned.astype(int) - close_to).mean() < 2
    np.testing.assert_array_equal(to_fit(wide[:, :, 0], 640)[..., 2], wide[:, :, 0])
    for bad in (b"", b"no image", png_of(100_000, 100_000)):
        with pytest.raises(Unreadable) as refusal:
            to_fit(bad, 640)
        assert str(refusal.value) == reason(bad)
