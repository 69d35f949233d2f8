"""An exported file in its runtime: exported.py FILE PRECISION BATCH TIMES THREADS PARTS.

PRECISION is "f32", or "own" for what OpenVINO chooses where the file says float32 (bf16 on processors that have it).
With PARTS > 1 the batch is cut into so many requests, THREADS of them in flight, one thread each.
Runs in alexnet's environment, in a process of its own: the threads of two runtimes in one process disturb each other.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from serve import keep_memory, serve

file, precision, (batch, times, threads, parts) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
keep_memory()
images = np.random.default_rng(0).uniform(0, 255, (batch, 3, 224, 224)).astype(np.float32)
requests = np.split(images, parts)

if file.endswith(".onnx"):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads if parts == 1 else 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    workers = ThreadPoolExecutor(threads if parts > 1 else 1)

    def infer() -> None:
        list(workers.map(lambda request: session.run(["logits"], {"pixels": request}), requests))

else:
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    model.reshape({"pixels": requests[0].shape})
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1 if parts == 1 else threads}
    if precision == "f32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings), settings["NUM_STREAMS"])

    def infer() -> None:
        for request in requests:
            queue.start_async({"pixels": request}, share_inputs=True)
        queue.wait_all()


def one_round() -> None:
    for _ in range(times):
        infer()


serve(one_round)
