"""What decoders say of bad images is in the reason, and never on the terminal; what a crash says still is."""

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from alexnet.data import decoders
from alexnet.data.image import Unreadable, to_square

pytestmark = [
    pytest.mark.skipif(not features.check("libtiff"), reason="Pillow has no libtiff here"),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # pytest has filters of its own
]

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def tiff(compression: str, damage: bool = True) -> bytes:
    """A TIFF, by default with other bytes in the middle of its pixels."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "TIFF", compression=compression)
    data = bytearray(file.getvalue())
    if damage:
        data[200:400] = bytes(255 - byte for byte in data[200:400])
    return bytes(data)


def mutated(data: bytes, draw: np.random.Generator) -> bytes:
    """Up to five other bytes, most of them in the header, or an end before the end."""
    if draw.random() < 0.3:
        return data[: draw.integers(1, len(data))]
    changed = bytearray(data)
    for _ in range(draw.integers(1, 6)):
        changed[draw.integers(min(len(data), 300))] = draw.integers(256)
    return bytes(changed)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_what_libtiff_says_is_the_reason(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unreadable) as caught:
        to_square(tiff(compression)[: -1 if compression == "jpeg" else None].replace(b"\xff\xdb", b"\xff\x00"), 32)
    reason = str(caught.value)
    assert "decoder error" not in reason and "\n" not in reason and len(reason) < 120 and "tempfile" not in reason
    assert capfd.readouterr() == ("", "")


def test_each_thread_hears_of_its_own_images(capfd: pytest.CaptureFixture[str]) -> None:
    kinds = ("tiff_lzw", "tiff_adobe_deflate")

    def reason(kind: str) -> str:
        to_square(tiff("tiff_lzw", damage=False), 16)
        with pytest.raises(Unreadable) as caught:
            to_square(tiff(kind), 16)
        return str(caught.value)

    alone = {kind: reason(kind) for kind in kinds}
    assert len(set(alone.values())) == 2
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(reason, kinds * 40)) == [alone[kind] for kind in kinds * 40]
    assert capfd.readouterr() == ("", "")


def test_a_good_image_after_a_bad_one_has_nothing_of_it() -> None:
    with pytest.raises(Unreadable):
        to_square(tiff("tiff_lzw"), 16)
    with pytest.raises(Unreadable, match="not an image"):
        to_square(b"no image", 16)
    assert decoders.complaint() == ""


def test_prepare_predict_and_doctor_show_no_line_of_a_decoder(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(PIXELS).save(tmp_path / "photos" / name / f"good{number}.png")
    seeds = [tiff(kind, damage=False) for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")]
    exif = Image.Exif()
    exif[0x010E] = "x" * 40
    for kind in ("ICO", "JPEG", "PNG", "GIF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(PIXELS).save(file, kind, **({"exif": exif} if kind == "JPEG" else {}))
        seeds.append(file.getvalue())
    for number in range(300):
        (tmp_path / "photos" / "b" / f"bad{number}.tif").write_bytes(mutated(seeds[number % len(seeds)], draw))
    program = (
        "import sys; from alexnet.cli import main\n"
        "codes = [main(['prepare', 'photos', 'data', '--size', '16', '--max-bad', '1']), main(['doctor', 'photos'])]\n"
        "from alexnet.run import predict\n"
        "codes.append(sum(isinstance(p, str) for b in predict.batches(predict.find(['photos']), 16) for _, p in b))\n"
        "print(codes)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    ours = ("folder of class folders", "train  ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []
    skipped = json.loads((tmp_path / "data" / "manifest.json").read_text())["splits"]["train"]["skipped"]
    assert len(skipped) > 100
    assert all("\n" not in one["reason"] and len(one["reason"]) < 250 for one in skipped)


def test_what_a_crash_says_still_reaches_stderr() -> None:
    program = "import faulthandler, os, alexnet; faulthandler.enable(); os.write(2, b'C wrote this\\n'); os.abort()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "C wrote this" in done.stderr and "Fatal Python error: Aborted" in done.stderr
