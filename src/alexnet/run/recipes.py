"""The named recipes, each made from another by what is different; and how a run is continued on other classes (§5, §6)."""

from dataclasses import replace

from alexnet.data.augment import Augmentation
from alexnet.network import networks
from alexnet.run.recipe import Recipe
from alexnet.run.schedule import Schedule

# The text of the paper: §3 the network, §4.1 and §4.2 against overfitting, §5 the rule and the plateau schedule.
paper = Recipe(name="paper", network=networks.paper)

# The program of 2012: every line of docs/disagreements.md, with the schedule its log records.
authors_2012 = Recipe(
    name="authors-2012",
    network=networks.authors_2012,
    epochs=91,
    bias_rate=2.0,
    bias_decay=False,
    schedule=Schedule("recorded-2012"),
    augmentation=Augmentation(crop="group", colour="authors-2012", mean="centre"),
)

# The paper's network on ten classes of ImageNet: the same rule, drops at fixed shares so that any --epochs makes sense.
imagenette = replace(
    paper,
    name="imagenette",
    network=replace(networks.paper, classes=10),
    schedule=Schedule("steps"),
)

# The network that comes with the package, on Imagenette. Smaller batches and a longer first rate than "imagenette", and six times
# the decay: with 9,469 images there are few updates, and what counts is rate times decay times their number.
starter = replace(
    imagenette,
    name="starter",
    network=networks.starter,
    epochs=120,
    batch=64,
    decay=0.003,
    schedule=Schedule("steps", drops=(0.7, 0.85, 0.95)),
    validate_every=2,
)

# §3.1's four-layer network. Like the paper's comparison it uses no augmentation but reflections. In so few updates a decay of
# .0005 would do nothing: what counts is rate times decay times updates.
cifar10 = Recipe(
    name="cifar10",
    network=networks.four_layer,
    epochs=10,
    batch=64,
    rate=0.0015,
    bias_rate=2.0,
    decay=0.03,
    bias_decay=False,
    schedule=Schedule("linear"),
    augmentation=Augmentation(crop="centre", colour="none", mean="centre"),
    image_size=32,
)

# Every mechanism of the paper in minutes on two cores, on the photographs that come with the dependencies.
demo = Recipe(
    name="demo",
    network=networks.small,
    epochs=24,
    batch=64,
    schedule=Schedule("steps", drops=(0.6, 0.85)),
    image_size=64,
)

# §6: the network with the sixth convolution on all 21,843 classes of Fall 2011, as the text has it. What the 2012 program did
# (layer-params-146-*.cfg) was a chain: the network of 2012 passed conv1 to conv5 on to one with conv6 on the 10,184 classes of
# 2009, that one its convolutions to one with this bottleneck on 2011 (copied layers at 10^-3, new ones at 10^-2, which went
# to 10^-3 as well at epoch 6; stopped at 8.1), and that one all but its head to "finetune". Here the first two are left out:
# training begins from initial values.
pretrain = replace(
    paper,
    name="pretrain",
    network=replace(networks.paper, name="pretraining", classes=21_843, conv6=True, bottleneck=2048),
)

# The end of that chain (layer-params-146-2012-2011.cfg): 10^-3, conv1 10^-4, the new last layer 10^-3 and after 300 batches
# 10^-2; what happens to them then is in the schedule. Biases follow the text's rule, as in "paper".
finetune = replace(
    paper,
    name="finetune",
    epochs=54,
    rate=0.001,
    first_rate=0.1,
    last_rate=10.0,
    last_rate_after=0.03,
    schedule=Schedule("fine-tuning-2012"),
)

# Goyal et al. 2017, "Accurate, Large Minibatch SGD": the rate in proportion to the batch, reached in five epochs. The batch is
# the largest that this did for AlexNet, by You et al. 2017.
large_batch = replace(paper, name="large-batch", batch=1024, base_batch=128, warmup_epochs=5.0)

# You, Gitman and Ginsburg 2017, "Large Batch Training of Convolutional Networks": the form of the rule, batch normalization in
# AlexNet, and 8192 images. The rate (a step of a hundredth of the weights' length), trust and the warm-up are this project's, and
# no run of this size has been made here.
lars = replace(
    paper,
    name="lars",
    network=replace(networks.paper, normalization="batch"),
    batch=8192,
    warmup_epochs=5.0,
    rule="lars",
)

recipes: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (demo, imagenette, starter, cifar10, paper, authors_2012, pretrain, finetune, large_batch, lars)
}


def continued(start: Recipe, then: Recipe) -> Recipe:
    """`then`, most often "finetune", on the network of `start` and the size of its images, without its bottleneck."""
    network = replace(start.network, bottleneck=0)
    return replace(then, name=f"{start.name}-{then.name}", network=network, image_size=start.image_size)


def fine_tuned(start: Recipe, classes: int) -> Recipe:
    """The recipe that continues `start` on other classes: a new last layer, lower rates below (2012, layers-*-ft).

    A tenth of the rate, a hundredth for conv1, and the full first rate for the new last layer; then the schedule
    "fine-tuning-2012", scaled to 30 epochs. A bottleneck is dropped, and the start's warm-up, frozen layers and trackers with it.
    """
    return replace(
        start,
        name=f"{start.name}-fine-tuned",
        network=replace(start.network, classes=classes, bottleneck=0),
        epochs=30,
        warmup_epochs=0.0,
        layer_rates=(),
        freeze=(),
        log=(),
        rate=start.rate / 10,
        first_rate=0.1,
        last_rate=10.0,
        schedule=Schedule("fine-tuning-2012"),
    )
