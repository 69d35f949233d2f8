"""Claims that are not the text's own: what others say of it, and what this package aims at."""

from alexnet.claims import measures
from alexnet.claims.changes import field, filled, in_turn, longer, network, plain, same, small_start
from alexnet.claims.claim import WITH_CIFAR, WITH_SMALL, Claim, Comparison, Search

CLAIMS = (
    Claim(
        "batchnorm",
        "notes",
        "batch normalization is slightly better than local response normalization",
        scales=WITH_CIFAR,
        variants=(("batch", network(normalization="batch")), ("LRN", same)),
        comparisons=(Comparison("batch", "LRN"),),
    ),
    Claim(
        "four-layer",
        "aim",
        "the four-layer network is below 20% test error on CIFAR-10 without augmentation beyond reflections",
        logged="the group's small nets: 26% in 80 s, 18% in 20 min, 13%, 12%, 11%",
        four_layer=True,
        scales=("smoke", "small"),
        variants=(("four-layer", same), ("three times as long", longer(3))),
        comparisons=(Comparison("four-layer", None, bound=20.0), Comparison("three times as long", None, bound=20.0)),
        note="Not a claim of the paper: from about there on comparisons between such networks mean something.",
    ),
    Claim(
        "pixel-scale",
        "notes",
        "on inputs of unit variance the paper's initial values and rates learn worse, or not at all",
        variants=(("unit variance", network(input_scale=1 / 60)), ("0-255", same)),
        comparisons=(Comparison("unit variance", "0-255", "top1", "higher"),),
        note="A reading of others' failures, who say: not at all. Inputs are divided by 60, about the deviation of pixels"
        " around the mean image.",
    ),
    Claim(
        "input-227",
        "§3.5",
        "an input that conv1's windows fill, 227 pixels as most have it, against 224 whose last window overhangs",
        variants=(("filled", filled), ("overhang", same)),
        comparisons=(Comparison("filled", "overhang", "top1", "either"),),
    ),
    Claim(
        "dropout-form",
        "§4.2",
        "dropout scaled in training (PyTorch's), against the paper's at test",
        variants=(("inverted", network(dropout_form="inverted")), ("mask", same)),
        comparisons=(Comparison("inverted", "mask", "top1", "either"),),
    ),
    Claim(
        "relu-start",
        "§3.1, fig. 1",
        "ReLU against tanh again, from the initial values of the group's own networks for CIFAR-10, which help neither",
        paper="6×",
        four_layer=True,
        scales=("smoke", "small"),
        variants=(
            ("ReLU", in_turn(plain, small_start, network(activation="relu"))),
            ("tanh", in_turn(plain, small_start, network(activation="tanh"))),
            ("ReLU, scaled", in_turn(plain, network(activation="relu"))),
            ("tanh, scaled", in_turn(plain, network(activation="tanh"))),
        ),
        comparisons=(
            Comparison("tanh", "ReLU", "epochs_to_target", "higher", paper=6.0, ratio=True),
            Comparison("tanh, scaled", "ReLU, scaled", "epochs_to_target", "higher", paper=6.0, ratio=True),
            Comparison("ReLU, scaled", "ReLU", "epochs_to_target", "either", ratio=True),
            Comparison("tanh, scaled", "tanh", "epochs_to_target", "either", ratio=True),
        ),
        measures=(),
        search=True,
        search_at=(
            "small",
            Search(
                (0.0003, 0.0006, 0.001, 0.0015, 0.002),
                40,
                by="epochs_to_target",
                rates_by_variant=tuple((name, (0.002, 0.003, 0.005, 0.007, 0.01)) for name in ("tanh", "tanh, scaled")),
            ),
        ),
        stops=True,
        note="Without regularization of any kind; each variant with the constant rate that gets there soonest. Deviations of"
        " .0001 in conv1 and .01 above (layers-18pct.cfg); scaled: those of the claim relu, which keep the scale of the"
        " activations from layer to layer. A run that does not get there counts with all its epochs, so that the ratio is"
        " at least what it says.",
    ),
    Claim(
        "bf16",
        "aim",
        "training that multiplies in bf16, with float32 weights, ends at the same error as in float32",
        scales=WITH_SMALL,
        variants=(("bf16", field(precision="bf16")), ("float32", field(precision="float32"))),
        comparisons=(
            Comparison("bf16", "float32", "top1", "either"),
            Comparison("bf16", "float32", "ten_top1", "either"),
            Comparison("bf16", "float32", "train_top1", "either"),
        ),
        measures=(measures.overfitting, measures.ten_crops),
        note="Not a claim of the paper, which had float32 alone; about --precision. The same recipe and seeds; each network is"
        " measured in the precision it was trained in.",
    ),
)
