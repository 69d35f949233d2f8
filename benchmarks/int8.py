"""What 8-bit weights and activations cost in accuracy: errors of the exported float32 and int8 files.

    python benchmarks/int8.py --run RUN [--data DIR] [--format onnx] [--save]

RUN is a trained run, DIR a prepared dataset with its classes, by default the run's own: 300 of its training images
calibrate, all its validation images are measured, over the centre view.
"""

import json
import sys
import tempfile
from pathlib import Path

from measure import arguments, finish, row

from alexnet.data import prepared
from alexnet.exchange import exports, runtimes
from alexnet.run import trained


def main() -> int:
    given = arguments(__doc__, run="", data="", format="openvino", repeats=1)
    if not given.run:
        print("benchmarks/int8.py needs a trained run: --run RUN", file=sys.stderr)
        return 2
    network = trained.load(given.run)
    data = prepared.open(given.data or json.loads((Path(given.run) / "data.json").read_text())["path"])
    format: runtimes.Format = given.format
    with tempfile.TemporaryDirectory() as folder:
        made = exports.export_network(
            network, format, Path(folder) / f"network{exports.SUFFIXES[format][0]}", data, int8=True
        )
    rows = [
        row(f"{format}, {name}, {which}", [getattr(errors, which)], "% error")
        for name, errors in (("float32", made.before), ("int8", made.after))
        for which in ("top1_error", "top5_error")
    ]
    images = data.split("val" if "val" in data.splits else "train").images.shape[0]
    finish(f"int8-{format}", rows, given, images=images)
    return 0


if __name__ == "__main__":
    sys.exit(main())
