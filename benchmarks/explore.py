"""What somebody waits for at `alexnet explore`: the start, a new image's answer, and a layer's maps.

    python benchmarks/explore.py [--run RUN] [--images 20] [--save]

The server runs as a command, in a process of its own, and is asked over HTTP as its page asks. Cold start: from the command to
the page, its index and its network. A new image: from the upload of a JPEG of 640 x 480 pixels to its labels, the mean of ten
crops. Maps: those of conv1 for that image, which is when all steps are computed; another step's are then only sent. Half a
minute with the starter, which is asked where no --run is named.
"""

import io
import json
import subprocess
import sys
import time
import urllib.request

import numpy as np
from measure import arguments, finish, row
from PIL import Image


class Explorer:
    """`alexnet explore` in a process of its own, and a page's requests to it."""

    def __init__(self, run: str) -> None:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "alexnet", "explore", run, "--no-browser", "--json", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout
        url = json.loads("".join(self.process.stdout.readline() for _ in range(3)))["url"]
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._browser.open(url).read()
        self.base = url.partition("?")[0]
        self.run = json.loads(self.get("api/index.json"))["runs"][0]
        self.get(f"api/runs/{self.run}/network.json")
        self.started = time.perf_counter() - begun

    def get(self, path: str, body: bytes | None = None) -> bytes:
        answer: bytes = self._browser.open(self.base + path, data=body).read()
        return answer

    def image(self, content: bytes) -> tuple[float, float, float]:
        """Seconds from an upload to its labels, from there to the maps of conv1, and to those of conv5."""
        begun = time.perf_counter()
        image = json.loads(self.get("api/images", content))["id"]
        self.get(f"api/runs/{self.run}/images/{image}/answer.json")
        answered = time.perf_counter()
        self.get(f"api/runs/{self.run}/images/{image}/steps/conv1.bin")
        first = time.perf_counter()
        self.get(f"api/runs/{self.run}/images/{image}/steps/conv5.bin")
        return answered - begun, first - answered, time.perf_counter() - first

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def photographs(number: int) -> list[bytes]:
    """JPEGs of 640 x 480 pixels, smooth as photographs are, no two alike."""
    draw, files = np.random.default_rng(0), []
    for _ in range(number):
        small = Image.fromarray(draw.integers(0, 255, (12, 16, 3), np.uint8))
        file = io.BytesIO()
        small.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def main() -> None:
    given = arguments(__doc__, run="starter", images=20, repeats=3)
    starts: list[float] = []
    seconds: list[tuple[float, float, float]] = []
    Explorer(given.run).close()  # compiled code and files are then where they are the next time
    for number in range(given.repeats):
        explorer = Explorer(given.run)
        starts.append(explorer.started)
        if number == given.repeats - 1:
            pictures = photographs(given.images + 2)
            seconds = [explorer.image(content) for content in pictures][2:]
        explorer.close()
    answers, first, others = zip(*seconds, strict=True)
    rows = [row("cold start, to the page and its network", starts, "s")]
    rows.append(row("a new image, from upload to labels", [1e3 * s for s in answers], "ms", "ten crops"))
    rows.append(row("its maps of conv1", [1e3 * s for s in first], "ms", "all steps computed"))
    rows.append(row("its maps of conv5 after that", [1e3 * s for s in others], "ms"))
    finish("explore", rows, given)


if __name__ == "__main__":
    main()
