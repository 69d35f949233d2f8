"""The claims of §6 and §7: errors, several networks, what they have learned, and depth."""

from alexnet.claims import measures
from alexnet.claims.changes import augmentation, in_turn, network, room_to_crop, same, without
from alexnet.claims.claim import TABLE_2, WITH_CIFAR, WITH_SMALL, Claim, Comparison, Group, Stage

MIDDLE_LAYERS = ("conv2", "conv3", "conv4", "conv5", "fc7")
"""What `depth` removes, one at a time: every convolution but the first, and one of the two hidden layers."""

CLAIMS = (
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
        scales=WITH_CIFAR,
        variants=(("ten crops", in_turn(room_to_crop, augmentation(crop="image", flip=True))),),
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
        note="Error with ten crops, the mean of a repeat's five networks. `alexnet claims run table2` measures the"
        " rows of Table 2.",
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
        comparisons=(Comparison("links", None, "split", "higher"), Comparison("links", "no links", "split", "either")),
        measures=(measures.overfitting, measures.columns_colour),
        note="The paper's claim is the first line: columns tell apart better than random halves of the same kernels.",
    ),
    Claim(
        "features",
        "§6.1, fig. 4",
        "nearest neighbours in fc7 are alike in content, not in pixels",
        scales=WITH_SMALL,
        variants=(("network", same),),
        comparisons=(Comparison("network", None, "feature_gain", "higher"),),
        measures=(measures.overfitting, measures.features),
        note="Within each run: share of an image's ten nearest training images that are of its class. The four-layer network"
        " has no fc7; its features are the activations that its last layer reads.",
    ),
)

_cnn = Stage("table2 cnn", range(5))
_pretraining = Stage("table2 pretraining", range(5, 7), network(conv6=True), other_images=True)
# Fine-tuning replaces the last layer, and the bottleneck before it.
_cnn_star = Stage("table2 cnn star", range(5, 7), network(conv6=True), start=_pretraining)

table2 = Claim(
    "table2",
    "§6, Table 2",
    "networks averaged, and networks with a sixth convolution that are pre-trained on other images",
    scales=TABLE_2,
    groups=(
        ("one net", Group((_cnn,))),
        ("five nets", Group((_cnn,), averaged=True)),
        ("one net*", Group((_cnn_star,))),
        ("seven nets*", Group((_cnn, _cnn_star), averaged=True)),
    ),
    note="A repeat is seven networks with seeds of their own. Without other images there are the first two rows alone. The"
    " recipe that fine-tunes at scale imagenet has a tenth of the rate, made for hundreds of thousands of updates; in the"
    " hundreds of the smaller scales it gets nowhere, so there everything but the initial weights is as from nothing.",
)
"""The experiment of the claims whose `result` is "table2"."""
