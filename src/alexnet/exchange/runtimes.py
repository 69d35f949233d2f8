"""Exported files are loaded in their runtimes, onnxruntime and openvino, and made int8.

Both runtimes are optional (extra `export`), so each is imported where it is used.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Format = Literal["onnx", "openvino"]

NORMALIZATION = r"norm.*"
"""Nodes that stay float in an int8 network: squares have too wide a range, and are few."""


class Loaded(nn.Module):
    """An exported network on the CPU, as evaluation takes one: float32 pixels [N, 3, S, S], 0-255, to logits [N, classes]."""

    def __init__(self, file: Path, format: Format, exact: bool = True) -> None:
        """Load `file`; `exact` keeps float32 where the file says float32, even where OpenVINO would choose bf16 by itself."""
        super().__init__()
        if format == "onnx":
            session = onnx_session(str(file))
            self._run = lambda pixels: session.run(["logits"], {"pixels": pixels})[0]
        else:
            import openvino

            wanted = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
            if exact:
                wanted["INFERENCE_PRECISION_HINT"] = "f32"
            compiled = openvino.Core().compile_model(str(file), "CPU", wanted)
            self._run = lambda pixels: np.array(compiled({"pixels": pixels})["logits"])

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.from_numpy(self._run(pixels.contiguous().numpy()))


def onnx_session(model: str | bytes) -> Any:
    """Load a file, by its name or content, in onnxruntime, on the CPU, without a word on the terminal."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    quiet: dict[str, Any] = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}  # which would print
    return onnxruntime.InferenceSession(model, options, **quiet)


def save(model: Any, file: Path, format: Format, metadata: dict[str, str]) -> None:
    """Write an ONNX model to `file`; for OpenVINO its weights are in a .bin beside the .xml."""
    if format == "onnx":
        import onnx

        onnx.save(model, str(file))
    else:
        import openvino

        _save_openvino(openvino.Core().read_model(model.SerializeToString()), file, metadata)


def _save_openvino(model: Any, file: Path, metadata: dict[str, str]) -> None:
    import openvino

    for key, value in metadata.items():
        model.set_rt_info(value, ["alexnet", key])
    openvino.save_model(model, str(file), compress_to_fp16=False)


def quantize(file: Path, images: Sequence[np.ndarray], target: Path, format: Format, metadata: dict[str, str]) -> None:
    """Write the float network in `file` with 8-bit weights and activations to `target`.

    The ranges of the activations are those on `images`, float32 [1, 3, S, S] each. Normalization stays float.
    """
    with _quiet():
        if format == "onnx":
            _quantize_onnx(file, images, target)
            return
        # nncf reports its use to its makers unless it believes itself to be tested.
        os.environ.setdefault("NNCF_CI", "1")
        import nncf
        import openvino

        quantized = nncf.quantize(
            openvino.Core().read_model(str(file)),
            nncf.Dataset(images, lambda image: {"pixels": image}),
            # Ranges around zero: with shifted ones ("mixed") the demo's network lost twelve points instead of two.
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(patterns=[NORMALIZATION]),
        )
        _save_openvino(quantized, target, metadata)


def _quantize_onnx(file: Path, images: Sequence[np.ndarray], target: Path) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"pixels": image} for image in self.images), None)

    nodes = onnx.load(str(file), load_external_data=False).graph.node
    quantize_static(
        str(file),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gemm"],
        nodes_to_exclude=[node.name for node in nodes if node.name.startswith("norm")],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the progress bars and the advice of the quantizers from the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
