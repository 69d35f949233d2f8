# alexnet in a container: the commands, for the CPU or an NVIDIA GPU. Nobody has built this file yet: the machine that it
# was written on has no Docker. Its steps are those of docs/install.md, which are tested without one.
#
#   docker build -t alexnet .
#   docker run --rm -v "$PWD:/data" alexnet prepare photos prepared
#   docker run --rm -v "$PWD:/data" alexnet train demo --data prepared --out run
#
# For a GPU, with the NVIDIA container toolkit on the host:
#
#   docker build -t alexnet:gpu --build-arg DEVICE=gpu .
#   docker run --rm --gpus all -v "$PWD:/data" alexnet:gpu train paper --data prepared --out run
#
# On x86-64 the package index's torch is the build with CUDA, some gigabytes, which computes on a CPU too. A smaller image
# for the CPU takes torch from an index that has its builds for the CPU; torch's installation page names one:
#
#   docker build -t alexnet --build-arg TORCH=torch==2.13.0+cpu --build-arg PIP_EXTRA_INDEX_URL=ADDRESS .

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
# cpu or gpu.
ARG DEVICE=cpu
# torch as pip takes it, and what pip is told by the variable of this name.
ARG TORCH=torch
ARG PIP_EXTRA_INDEX_URL
# What is installed beside the base, see docs/install.md.
ARG EXTRAS=caffe,claims,demo,fast,report,tensorboard

# Triton links the kernels for a GPU with the C compiler when they are first used.
RUN if [ "$DEVICE" = gpu ]; then \
      apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; \
    fi
COPY constraints.txt /tmp/
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$TORCH"
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /wheels/alexnet-*.whl)[$EXTRAS]" && rm -r /wheels

# Files are written as this user; `docker run --user "$(id -u):$(id -g)"` writes them as yours.
RUN useradd --create-home alexnet
USER alexnet
# Folders for what is compiled, which any user may write.
ENV NUMBA_CACHE_DIR=/tmp/numba TRITON_CACHE_DIR=/tmp/triton MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["alexnet"]
CMD ["--help"]
