"""The named networks: `paper` is the text of §3, row by row, and every other one is the difference from it."""

from dataclasses import replace

from alexnet.network.spec import Convolution, Hidden, Network, Pooling

paper = Network(
    name="paper",
    # §5: biases of 1 in the second, fourth and fifth convolution and in the hidden layers, where they are the default.
    convolutions=(
        Convolution(96, 11, stride=4, bias=0.0, then=("relu", "norm", "pool")),
        Convolution(256, 5, padding=2, bias=1.0, then=("relu", "norm", "pool")),
        Convolution(384, 3, padding=1, bias=0.0),
        Convolution(384, 3, padding=1, bias=1.0),
        Convolution(256, 3, padding=1, bias=1.0, then=("relu", "pool")),
    ),
    hidden=(Hidden(4096), Hidden(4096)),
)

# layers/layers-145.cfg: the network behind the published error rates.
authors_2012 = replace(
    paper,
    name="authors-2012",
    convolutions=(
        replace(paper.convolutions[0], then=("norm", "pool", "relu")),
        replace(paper.convolutions[1], then=("relu", "norm", "norm-map", "pool")),
        *paper.convolutions[2:],
    ),
    normalization="authors-2012",  # the sum is divided by n
    normalization_window="column",
    init="authors-2012",
)

# §3.2, run 145-half: half the kernels in the convolutions but the last, so that there are nearly as many parameters.
one_gpu = replace(
    paper,
    name="one-gpu",
    columns=1,
    convolutions=(
        *(replace(row, kernels=row.kernels // 2) for row in paper.convolutions[:4]),
        paper.convolutions[4],
    ),
)

one_tower = replace(paper, name="one-tower", columns=1)

# §3.4, run 147: 2x2 windows and the paddings that lead to maps of the same size.
non_overlapping = replace(
    paper,
    name="non-overlapping",
    pooling=Pooling(window=2, stride=2),
    convolutions=(
        paper.convolutions[0],
        replace(paper.convolutions[1], padding=1),
        *paper.convolutions[2:4],
        replace(paper.convolutions[4], padding=0),
    ),
)

# Caffe's bvlc_alexnet, models/bvlc_alexnet/train_val.prototxt.
caffe = replace(
    paper,
    name="caffe",
    input_size=227,
    normalization="caffe",
    dropout_form="inverted",
    convolutions=tuple(replace(row, bias=0.1 * row.bias) for row in paper.convolutions),
    hidden=(Hidden(4096, std=0.005, bias=0.1), Hidden(4096, std=0.005, bias=0.1)),
)

# torchvision.models.alexnet: the widths of Krizhevsky's 2014 paper, dropout before the hidden layers.
torchvision = replace(
    paper,
    name="torchvision",
    columns=1,
    rounding="down",
    normalization="none",
    dropout_form="inverted",
    init="pytorch",
    convolutions=(
        Convolution(64, 11, stride=4, padding=2, then=("relu", "pool")),
        Convolution(192, 5, padding=2, then=("relu", "pool")),
        Convolution(384, 3, padding=1),
        Convolution(256, 3, padding=1),
        Convolution(256, 3, padding=1, then=("relu", "pool", "dropout")),
    ),
    hidden=(Hidden(4096), Hidden(4096, then=("relu",))),
)

# §3.1 does not list its four-layer CIFAR-10 network. This is three convolutions and the classes, as the network that the same
# group published with cuda-convnet for 18%, with twice the kernels in layer 2 and max pooling throughout; its initial
# deviations keep the scale of the activations, so that the first epoch is not spent on growing them.
four_layer = Network(
    name="four-layer",
    convolutions=(
        Convolution(32, 5, padding=2, std=1e-3, then=("relu", "pool", "norm")),
        Convolution(64, 5, padding=2, std=0.03, then=("relu", "pool", "norm")),
        Convolution(64, 5, padding=2, std=0.02, then=("relu", "pool")),
    ),
    hidden=(),
    classes=10,
    input_size=32,
    columns=1,
    links=(),
    last_std=0.03,
)

# The demo's: every mechanism of the paper at a sixtieth of the multiply-adds, on inputs of 56 pixels.
small = Network(
    name="small",
    convolutions=(
        Convolution(32, 7, stride=2, std=0.01, then=("relu", "norm", "pool")),
        Convolution(64, 5, padding=2, std=0.04, bias=0.1, then=("relu", "norm", "pool")),
        Convolution(96, 3, padding=1, std=0.05),
        Convolution(96, 3, padding=1, std=0.05, bias=0.1),
        Convolution(64, 3, padding=1, std=0.05, bias=0.1, then=("relu", "pool")),
    ),
    hidden=(Hidden(256, std=0.05, bias=0.1), Hidden(256, std=0.05, bias=0.1)),
    classes=13,
    input_size=56,
    last_std=0.05,
)

# The starter's, whose weights come with the package: half the kernels of every convolution and 1,024 units a hidden layer, a tenth
# of the parameters. Each layer reads half of what the paper's reads or less, so initial deviations are larger in turn.
starter = replace(
    paper,
    name="starter",
    convolutions=tuple(replace(row, kernels=row.kernels // 2, std=0.015) for row in paper.convolutions),
    hidden=(Hidden(1024, std=0.015), Hidden(1024, std=0.02)),
    classes=10,
)

networks: dict[str, Network] = {
    network.name: network
    for network in (
        paper,
        authors_2012,
        one_gpu,
        one_tower,
        non_overlapping,
        caffe,
        torchvision,
        four_layer,
        small,
        starter,
    )
}
