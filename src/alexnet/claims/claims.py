"""The claims of the paper, and the scales at which they are tested. An experiment is a base recipe and a `replace`.

The base is the scale's own recipe; what a claim does to it is the same at every scale.
"""

from dataclasses import replace
from typing import Any

from alexnet.claims import measures
from alexnet.claims.claim import Change, Claim, Comparison, Scale, ScaleName, Search
from alexnet.network import spec
from alexnet.network.model import slide
from alexnet.network.spec import Hidden, Network
from alexnet.training import recipe as recipes
from alexnet.training.optimizer import Schedule
from alexnet.training.recipe import Recipe

# --- changes ----------------------------------------------------------------------------------------------------------


def same(recipe: Recipe) -> Recipe:
    """The scale's recipe as it is."""
    return recipe


def field(**changes: Any) -> Change:
    """Replace fields of the recipe."""
    return lambda recipe: replace(recipe, **changes)


def network(**changes: Any) -> Change:
    """Replace fields of the recipe's network."""
    return lambda recipe: replace(recipe, network=replace(recipe.network, **changes))


def augmentation(**changes: Any) -> Change:
    """Replace fields of the recipe's augmentation."""
    return lambda recipe: replace(recipe, augmentation=replace(recipe.augmentation, **changes))


def schedule(**changes: Any) -> Change:
    """Replace fields of the recipe's schedule."""
    return lambda recipe: replace(recipe, schedule=replace(recipe.schedule, **changes))


def both(*changes: Change) -> Change:
    """One change after another."""

    def made(recipe: Recipe) -> Recipe:
        for change in changes:
            recipe = change(recipe)
        return recipe

    return made


def without(name: str) -> Change:
    """Remove a layer of the network."""
    return lambda recipe: replace(recipe, network=recipe.network.without(name))


def plain(recipe: Recipe) -> Recipe:
    """No regularization of any kind, as fig. 1 says of its networks: no decay, dropout, augmentation, normalization."""
    quiet = network(normalization="none", dropout=0.0)(field(decay=0.0, schedule=Schedule("constant"))(recipe))
    return augmentation(crop="centre", flip=False, colour="none")(quiet)


def one_gpu(recipe: Recipe) -> Recipe:
    """The network of §3.2 for one GPU (145-half): half the kernels in every convolution but the last, no columns."""
    *first, last = recipe.network.convolutions
    halved = tuple(replace(row, kernels=row.kernels // 2) for row in first)
    return network(columns=1, convolutions=(*halved, last))(recipe)


def not_overlapping(recipe: Recipe) -> Recipe:
    """2x2 windows (§3.4), and maps of the same size behind them: the padding of a convolution before pooling is lowered by
    one where that brings it about, which gives run 147's paddings on 224 pixels."""
    old, rows, size, wanted = recipe.network, list(recipe.network.convolutions), recipe.network.input_size, None
    for number, row in enumerate(rows):
        pools = "pool" in row.then
        wanted = _map_size(old, number)
        if number and pools:
            paddings = [padding for padding in (row.padding, row.padding - 1) if padding >= 0]
            rows[number] = row = min(
                (replace(row, padding=padding) for padding in paddings),
                key=lambda tried: abs(_after(tried, size, 2, old.rounding) - wanted),
            )
        size = _after(row, size, 2, old.rounding)
    return network(pooling="2/2", convolutions=tuple(rows))(recipe)


def _after(row: spec.Convolution, size: int, pool: int, rounding: str) -> int:
    size = slide("", size, row.size, row.stride, row.padding, rounding).output
    return slide("", size, pool, 2, 0, rounding).output if "pool" in row.then else size


def _map_size(of: Network, last: int) -> int:
    size = of.input_size
    for row in of.convolutions[: last + 1]:
        size = _after(row, size, int(of.pooling[0]), of.rounding)
    return size


def with_hidden(recipe: Recipe) -> Recipe:
    """The four-layer network has no hidden layer to drop activations of: give it one."""
    return recipe if recipe.network.hidden else network(hidden=(Hidden(512, std=0.02, bias=0.0),))(recipe)


def room_to_crop(recipe: Recipe) -> Recipe:
    """An input smaller by a quarter, where it was as large as the images, so that there are crops to choose from: of 24 pixels
    in images of 32, as the same group took them from CIFAR-10."""
    size = recipe.network.input_size
    return network(input_size=size - size // 4)(recipe) if size == recipe.image_size else recipe


def layer(number: int, then: tuple[spec.Step, ...]) -> Change:
    """What follows one of the convolutions, counted from 1."""

    def made(recipe: Recipe) -> Recipe:
        rows = list(recipe.network.convolutions)
        rows[number - 1] = replace(rows[number - 1], then=then)
        return network(convolutions=tuple(rows))(recipe)

    return made


def filled(recipe: Recipe) -> Recipe:
    """An input so much larger that conv1's last window does not hang over it: 227 pixels for 224."""
    size, first = recipe.network.input_size, recipe.network.convolutions[0]
    overhang = slide("conv1", size, first.size, first.stride, first.padding, "up").overhang
    return network(input_size=size + overhang)(recipe)


def longer(times: int) -> Change:
    """So many times the epochs."""
    return lambda recipe: replace(recipe, epochs=times * recipe.epochs)


def larger_middle(recipe: Recipe) -> Recipe:
    """Initial deviations three times as large in the 3x3 convolutions, as .03 is to .01."""
    rows = recipe.network.convolutions
    return network(convolutions=tuple(replace(row, std=3 * row.std) if row.size == 3 else row for row in rows))(recipe)


# --- scales -----------------------------------------------------------------------------------------------------------


def shrunk(of: Network, width: float, std: float, **changes: Any) -> Network:
    """`of` with its kernels and hidden units times `width`, and its initial deviations times `std`."""
    return replace(
        of,
        convolutions=tuple(
            replace(row, kernels=round(row.kernels * width), std=row.std * std) for row in of.convolutions
        ),
        hidden=tuple(replace(row, units=round(row.units * width), std=row.std * std) for row in of.hidden),
        **changes,
    )


_smoke = replace(
    recipes.demo,
    name="smoke",
    network=shrunk(spec.small, 0.25, 1.5, input_size=28),
    epochs=1,
    image_size=32,
    stuck_steps=0,
)

_four_layer = replace(recipes.cifar10, name="small", validate_every=2, stuck_steps=0)

# The paper's network with a quarter of its kernels and units on half its pixels. Twice the initial deviations below the last
# layer: all but conv1 read a quarter of the inputs.
_reduced = replace(
    recipes.imagenette,
    name="reduced",
    network=shrunk(recipes.imagenette.network, 0.25, 2.0, input_size=112),
    epochs=12,
    batch=64,
    image_size=128,
    validate_every=2,
    stuck_steps=0,
)

scales: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            "smoke",
            "every experiment on the built-in photographs at 32 pixels, one epoch: whether it runs, not what it says",
            "made by the command",
            "a minute or two on two cores",
            _smoke,
            replace(_smoke, network=shrunk(spec.four_layer, 0.25, 2.0, input_size=28), rate=0.001),
            search=Search((0.001, 0.003), 1),
            target=90.0,
            most_epochs=2,
            validation_target=90.0,
        ),
        Scale(
            "small",
            "the four-layer network on CIFAR-10",
            "CIFAR-10 at 32 pixels (alexnet prepare CIFAR10 DIR --size 32)",
            "two cores, tens of minutes a claim",
            _four_layer,
            _four_layer,
            search=Search((0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03), 2),
            most_epochs=16,
        ),
        Scale(
            "reduced",
            "the paper's network with a quarter of its kernels and units on 112 pixels, Imagenette",
            "Imagenette at 128 pixels (alexnet prepare imagenette DIR --size 128)",
            "two cores, half an hour a claim",
            _reduced,
            validation_target=50.0,
        ),
        Scale(
            "imagenette",
            "the paper's network on Imagenette, 90 epochs",
            "Imagenette at 256 pixels (alexnet prepare imagenette DIR)",
            "a GPU, minutes a run; or nights on a CPU (850,000 images a run)",
            replace(recipes.imagenette, stuck_steps=0),
            validation_target=40.0,
        ),
        Scale(
            "imagenet",
            "the paper's network on ILSVRC-2012, 90 epochs at most",
            "ILSVRC-2012 at 256 pixels (alexnet prepare ILSVRC2012 DIR)",
            "115 million images a run; one machine a claim, each with its own --out",
            replace(recipes.paper, stuck_steps=0),
            validation_target=60.0,
        ),
    )
}

MIDDLE_LAYERS = ("conv2", "conv3", "conv4", "conv5", "fc7")
"""What `depth` removes, one at a time: every convolution but the first, and one of the two hidden layers."""

# docs/disagreements.md point by point: name, what the program does, and the change that turns the text into it.
_program: tuple[tuple[str, str, Change], ...] = (
    ("order-1", "layer 1 normalizes linear responses, pools, then ReLU", layer(1, ("norm", "pool", "relu"))),
    ("map-norm", "a second normalization in layer 2", layer(2, ("relu", "norm", "norm-map", "pool"))),
    ("window", "normalization inside each column", network(normalization_window="column")),
    ("coefficients", "the sum in normalization divided by n", network(normalization="authors-2012")),
    ("init", "initial deviations three times as large in the 3×3 convolutions", larger_middle),
    ("crops", "one crop and flip for 32 images", augmentation(crop="group")),
    ("mean", "every crop subtracts the mean image's centre", augmentation(mean="centre")),
    ("colour", "colour noise by the root of λ, images divided by 1.1", augmentation(colour="authors-2012")),
    ("bias-rate", "biases learn twice as fast", field(bias_rate=2.0)),
    (
        "schedule",
        "the recorded drops of the rate",
        schedule(kind="recorded-2012", biases="with-weights", last_third="plain"),
    ),
    ("bias-drops", "the biases' rate drops once", schedule(biases="once")),
    ("bias-decay", "biases do not decay", field(bias_decay=False)),
    ("last-third", "conv1 slowed, then frozen, and the colour noise off", schedule(last_third="authors-2012")),
)


def _of_the_program(name: str, says: str, change: Change) -> Claim:
    return Claim(
        f"2012-{name}",
        "2012",
        says,
        variants=(("program", change), ("text", same)),
        comparisons=(Comparison("program", "text", "top1", "either"),),
        note="The text's network with this one point turned to the program's; lower: the program's way is better. The text's own"
        " schedule is at scale imagenet only; the smaller ones lower the rate at fixed shares of the epochs.",
    )


# --- claims -----------------------------------------------------------------------------------------------------------

_with_cifar: tuple[ScaleName, ...] = ("smoke", "small", "reduced", "imagenette", "imagenet")

claims: dict[str, Claim] = {
    claim.id: claim
    for claim in (
        Claim(
            "relu",
            "§3.1, fig. 1",
            "a four-layer network on CIFAR-10 reaches 25% training error six times sooner with ReLU than with tanh",
            paper="6×",
            four_layer=True,
            scales=("smoke", "small"),
            variants=(
                ("ReLU", both(plain, network(activation="relu"))),
                ("tanh", both(plain, network(activation="tanh"))),
                ("sigmoid", both(plain, network(activation="sigmoid"))),
            ),
            comparisons=(
                Comparison("tanh", "ReLU", "epochs_to_target", "higher", paper=6.0, ratio=True),
                Comparison("sigmoid", "ReLU", "epochs_to_target", "higher", ratio=True),
            ),
            measures=(),
            search=True,
            stops=True,
            note="Without regularization of any kind; each activation with its own best constant rate. A run that does not"
            " get there counts with all its epochs, so that the ratio is at least what it says.",
        ),
        Claim(
            "columns",
            "§3.2",
            "two columns against the network for one GPU with half the kernels",
            paper="−1.7 / −1.2",
            logged="2010 test 37.47 / 17.00 against 39.17 / 18.23 (145-half)",
            variants=(("two columns", same), ("one GPU", one_gpu)),
            comparisons=(
                Comparison("two columns", "one GPU", paper=-1.7),
                Comparison("two columns", "one GPU", "top5", paper=-1.2),
            ),
        ),
        Claim(
            "links",
            "§3.2",
            "layers that read both columns against no connection at all",
            logged="40.66 / 18.21 against 41.83 / 19.33 (150)",
            variants=(("links", same), ("no links", network(links=()))),
            comparisons=(Comparison("links", "no links"), Comparison("links", "no links", "top5")),
        ),
        Claim(
            "lrn",
            "§3.3",
            "local response normalization against none",
            paper="−1.4 / −1.2",
            logged="40.66 / 18.21 against 42.03 / 19.36 (148)",
            variants=(("LRN", same), ("none", network(normalization="none"))),
            comparisons=(Comparison("LRN", "none", paper=-1.4), Comparison("LRN", "none", "top5", paper=-1.2)),
        ),
        Claim(
            "lrn-cifar",
            "§3.3",
            "local response normalization in the four-layer network on CIFAR-10: 13% test error without, 11% with",
            paper="−2",
            four_layer=True,
            scales=("smoke", "small"),
            variants=(("LRN", same), ("none", network(normalization="none"))),
            comparisons=(Comparison("LRN", "none", paper=-2.0),),
        ),
        Claim(
            "overlap",
            "§3.4",
            "overlapping pooling, 3×3 with stride 2, against 2×2 with stride 2",
            paper="−0.4 / −0.3",
            logged="40.66 / 18.21 against 41.06 / 18.51 (147)",
            scales=_with_cifar,
            variants=(("3×3", same), ("2×2", not_overlapping)),
            comparisons=(
                Comparison("3×3", "2×2", paper=-0.4),
                Comparison("3×3", "2×2", "top5", paper=-0.3),
                Comparison("3×3", "2×2", "gap"),
            ),
            note="The paper adds that such networks overfit slightly less: that is the gap.",
        ),
        Claim(
            "crops",
            "§4.1",
            "without crops and reflections the network suffers from substantial overfitting",
            scales=_with_cifar,
            variants=(
                ("crops, flips", both(room_to_crop, augmentation(crop="image", flip=True))),
                ("neither", both(room_to_crop, augmentation(crop="centre", flip=False))),
            ),
            comparisons=(
                Comparison("crops, flips", "neither", "gap"),
                Comparison("crops, flips", "neither"),
            ),
            note="Both variants train for the same number of epochs, in which the one that sees more may learn less.",
        ),
        Claim(
            "colour",
            "§4.1",
            "noise along the principal components of RGB takes over 1% off the top-1 error",
            paper="−1",
            scales=_with_cifar,
            variants=(("noise", augmentation(colour="paper")), ("none", augmentation(colour="none"))),
            comparisons=(Comparison("noise", "none", paper=-1.0),),
        ),
        Claim(
            "dropout",
            "§4.2",
            "without dropout substantial overfitting; with it twice the iterations",
            paper="2×",
            scales=_with_cifar,
            variants=(
                ("dropout", both(room_to_crop, with_hidden, network(dropout=0.5))),
                ("none", both(room_to_crop, with_hidden, network(dropout=0.0))),
            ),
            comparisons=(
                Comparison("dropout", "none", "gap"),
                Comparison("dropout", "none"),
                Comparison("dropout", "none", "epochs_to_validation", "higher", paper=2.0, ratio=True),
            ),
            note="At scale small on the centre 24 pixels of 32, which costs less, with a hidden layer of 512 for the dropout. Both"
            " variants train for the same number of epochs, which dropout may find too few.",
        ),
        Claim(
            "decay",
            "§5",
            "weight decay lowers the training error too",
            scales=_with_cifar,
            variants=(("decay", same), ("none", field(decay=0.0))),
            comparisons=(Comparison("decay", "none", "train_top1"), Comparison("decay", "none")),
            note="At scale small the decay is .03 instead of .0005, as the updates are few: rate times decay times updates counts.",
        ),
        Claim(
            "depth",
            "§7",
            "removing any middle layer costs about 2% of top-1 error",
            paper="−2",
            variants=(("whole", same), *((f"without {name}", without(name)) for name in MIDDLE_LAYERS)),
            comparisons=tuple(Comparison("whole", f"without {name}", paper=-2.0) for name in MIDDLE_LAYERS),
            note="The pooling of a removed layer stays, in the layer that takes its place or the one before it, as does its link."
            " So without conv3 and without conv4 are nearly the same network: the bias of one layer begins at 1 or 0.",
        ),
        Claim(
            "views",
            "§4.1, §6",
            "ten crops against the centre crop (ILSVRC-2010 test)",
            paper="37.5 / 17.0 against 39.0 / 18.3",
            logged="37.47 / 17.00 against 39.02 / 18.30",
            scales=_with_cifar,
            variants=(("ten crops", both(room_to_crop, augmentation(crop="image", flip=True))),),
            comparisons=(
                Comparison("ten crops", None, "ten_gain", paper=-1.5),
                Comparison("ten crops", None, "ten_gain5", paper=-1.3),
            ),
            measures=(measures.overfitting, measures.ten_crops),
            note="Within each run: the same network measured twice.",
        ),
        Claim(
            "one net",
            "§6",
            "one network, ILSVRC-2012 validation",
            "40.7 / 18.2",
            "40.66 / 18.21 (145)",
            result="table2",
            note="Error with ten crops, the mean of a repeat's five networks. `alexnet table2` measures the rows of Table 2.",
        ),
        Claim(
            "five nets",
            "§6",
            "five networks averaged",
            "38.1 / 16.4, test 16.4",
            comparisons=(
                Comparison("five nets", "one net", "ten_top1", paper=-2.6, paired=True),
                Comparison("five nets", "one net", "ten_top5", paper=-1.8, paired=True),
            ),
            result="table2",
            note="Against the mean error of the same five networks, repeat by repeat; ten crops.",
        ),
        Claim(
            "one net*",
            "§6",
            "one network with conv6, pre-trained on Fall 2011, fine-tuned",
            "39.0 / 16.6",
            "38.99 / 16.62 (146-2012-2011)",
            comparisons=(
                Comparison("one net*", "one net", "ten_top1", paper=-1.7),
                Comparison("one net*", "one net", "ten_top5", paper=-1.6),
            ),
            result="table2",
            note="Pre-trained on the images that the command names; ten crops. Like the paper's it has a sixth convolution too, so"
            " the difference is that of both. The smaller scales fine-tune as they train from nothing, by the same schedule.",
        ),
        Claim(
            "seven nets*",
            "§6",
            "two pre-trained networks and the five, averaged",
            "36.7 / 15.4, test 15.3",
            comparisons=(
                Comparison("seven nets*", "five nets", "ten_top1", paper=-1.4, paired=True),
                Comparison("seven nets*", "five nets", "ten_top5", paper=-1.0, paired=True),
            ),
            result="table2",
            note="Against the average of the five that are among the seven, repeat by repeat; ten crops.",
        ),
        Claim(
            "fall 2009",
            "§6",
            "10,184 classes, 8.9 million images, half for test, conv6",
            "67.4 / 40.9",
            note="it takes the Fall 2009 release of ImageNet, which is not at hand",
        ),
        Claim(
            "kernels",
            "§6.1, fig. 3",
            "one column's kernels learn no colour, the other's do, in every run",
            variants=(("links", same), ("no links", network(links=()))),
            comparisons=(
                Comparison("links", None, "split", "higher"),
                Comparison("links", "no links", "split", "either"),
            ),
            measures=(measures.overfitting, measures.columns_colour),
            note="The paper's claim is the first line: columns tell apart better than random halves of the same kernels.",
        ),
        Claim(
            "features",
            "§6.1, fig. 4",
            "nearest neighbours in fc7 are alike in content, not in pixels",
            scales=_with_cifar,
            variants=(("network", same),),
            comparisons=(Comparison("network", None, "feature_gain", "higher"),),
            measures=(measures.overfitting, measures.features),
            note="Within each run: share of an image's ten nearest training images that are of its class. The four-layer network"
            " has no fc7; its features are the activations that its last layer reads.",
        ),
        Claim(
            "batchnorm",
            "notes",
            "batch normalization is slightly better than local response normalization",
            scales=_with_cifar,
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
            comparisons=(
                Comparison("four-layer", None, bound=20.0),
                Comparison("three times as long", None, bound=20.0),
            ),
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
        *(_of_the_program(name, says, change) for name, says, change in _program),
        _of_the_program("all", "all of these points at once", both(*(change for _, _, change in _program))),
    )
}
