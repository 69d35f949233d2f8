"""What each URL of the explorer answers, the same for the server and for the exported site."""

import io
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from fastapi import Response
from PIL import Image

from alexnet import provenance
from alexnet.explore import runs, searches, values
from alexnet.explore.images import MOST_BYTES, THUMB, NotThere
from alexnet.explore.session import Session
from alexnet.run import network_file
from alexnet.words import short

PARTS = 100
"""Samples that one answer lists at the most."""


def index(session: Session) -> Response:
    """The runs, and the images that are there from the start."""
    data = str(session.data.path) if session.live and session.data else None
    return _json(
        {
            "live": session.live,
            "version": provenance.version(),
            "runs": list(session.runs),
            "images": [picture.to_dict() for picture in session.images.given.values()],
            "most_bytes": MOST_BYTES,
            "data": data,
            "neighbours": session.data is not None,
        }
    )


def network(session: Session, run: str) -> Response:
    """A run and its network; a newer checkpoint is taken here, and by nothing else."""
    opened = session.run(run)
    opened.refresh()
    about = values.network(opened.trained)
    path = str(opened.given) if session.live else opened.id
    return _json({"id": run, "path": path, **about, **runs.facts(opened.trained)})


def network_in_one_file(session: Session, run: str) -> Response:
    """A run's network as a network file in float16, with which an exported page computes any image itself."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.safetensors"
        network_file.write(file, session.run(run).trained.contents)
        return Response(file.read_bytes(), media_type="application/octet-stream")


def metrics(session: Session, run: str) -> Response:
    """The log of a training, as far as it is."""
    return _json(runs.log(session.run(run).trained))


def weights(session: Session, run: str, layer: str) -> Response:
    """Kernels of a convolution."""
    return _binary(values.weights(session.run(run).trained, layer))


def bias(session: Session, run: str, layer: str) -> Response:
    """Biases of a layer."""
    return _binary(values.bias(session.run(run).trained, layer))


def row_of_weights(session: Session, run: str, layer: str, unit: int) -> Response:
    """Weights of a unit of a fully connected layer."""
    return _binary(values.row_of_weights(session.run(run).trained, layer, unit))


def kernels(session: Session, run: str, epoch: int) -> Response:
    """Kernels of the first layer as they were after an epoch."""
    return _binary(runs.kernels(session.run(run).trained, epoch))


def samples(
    session: Session, split: str = "val", start: int = 0, count: int = 60, label: str | None = None
) -> Response:
    """Images of the dataset to choose from."""
    return _json(session.images.samples(split, max(0, start), min(max(0, count), PARTS), label))


def thumb(session: Session, image: str) -> Response:
    """An image's square, small."""
    picture = session.images.find(image)
    return _jpeg(session.images.square(picture, THUMB))


def original(session: Session, image: str) -> Response:
    """The whole of an image."""
    return _jpeg(session.images.find(image).original())


def answer(session: Session, run: str, image: str) -> Response:
    """Labels of an image."""
    return _json(session.answer(session.run(run), session.images.find(image)))


def square(session: Session, run: str, image: str) -> Response:
    """The square that crops are taken from."""
    return _png(_pixels(session, run, image, values.at_image_size))


def seen(session: Session, run: str, image: str) -> Response:
    """The centre crop."""
    return _png(_pixels(session, run, image, values.crop))


def first_input(session: Session, run: str, image: str) -> Response:
    """What the first convolution reads."""
    return _binary(_pixels(session, run, image, values.first_input))


def step(session: Session, run: str, image: str, step: str) -> Response:
    """Output of a step."""
    outputs = session.steps(session.run(run), session.images.find(image))
    if step not in outputs:
        raise NotThere(f"no step {short(step)}; there are {', '.join(outputs)}")
    return _binary(outputs[step])


def why(session: Session, run: str, image: str, label: int) -> Response:
    """What speaks for a label."""
    return _json(session.why(session.run(run), session.images.find(image), label))


def neighbours(session: Session, run: str, image: str, count: int = 12) -> Response:
    """The nearest training images."""
    return _json(searches.neighbours(session, session.run(run), session.images.find(image), count))


def units(session: Session, run: str, step: str, unit: int) -> Response:
    """What excites a unit most."""
    return _json(searches.units(session, session.run(run), step, unit))


URLS: dict[str, Callable[..., Response]] = {
    "api/index.json": index,
    "api/samples.json": samples,
    "api/images/{image}/thumb.jpg": thumb,
    "api/images/{image}/original.jpg": original,
    "api/runs/{run}/network.json": network,
    "api/runs/{run}/network.safetensors": network_in_one_file,
    "api/runs/{run}/metrics.json": metrics,
    "api/runs/{run}/weights/{layer}-bias.bin": bias,  # before the next, which would take it for a layer
    "api/runs/{run}/weights/{layer}.bin": weights,
    "api/runs/{run}/weights/{layer}/{unit}.bin": row_of_weights,
    "api/runs/{run}/kernels/{epoch}.bin": kernels,
    "api/runs/{run}/images/{image}/answer.json": answer,
    "api/runs/{run}/images/{image}/square.png": square,
    "api/runs/{run}/images/{image}/seen.png": seen,
    "api/runs/{run}/images/{image}/input.bin": first_input,
    "api/runs/{run}/images/{image}/steps/{step}.bin": step,
    "api/runs/{run}/images/{image}/why/{label}.json": why,
    "api/runs/{run}/images/{image}/neighbours.json": neighbours,
    "api/runs/{run}/units/{step}/{unit}.json": units,
}
"""What is under each URL; the names in braces are the functions' parameters."""


def _pixels(session: Session, run: str, image: str, make: Callable[..., np.ndarray]) -> np.ndarray:
    trained = session.run(run).trained
    return make(trained, session.square(trained, session.images.find(image)))


# As bytes -------------------------------------------------------------------------------------------------------------


def _json(value: Any) -> Response:
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), media_type="application/json")


def _finite(value: Any) -> Any:
    """The value with None for NaN and infinity, of which JSON has no numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _binary(array: np.ndarray) -> Response:
    return Response(np.ascontiguousarray(array, "<f4").tobytes(), media_type="application/octet-stream")


def _png(pixels: np.ndarray) -> Response:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=3)
    return Response(file.getvalue(), media_type="image/png")


def _jpeg(pixels: np.ndarray) -> Response:
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=88, colorspace="RGB")
    return Response(content, media_type="image/jpeg")
