"""Training batches the usual way: torchvision's ImageFolder and a DataLoader with worker processes.

    imagefolder.py FOLDER BATCH WORKERS

FOLDER/<class>/*.jpg hold photographs of 256×256. A round is one pass over all of them: random crop of 224, flip, pixels
minus the mean; the colour noise is left out, as torchvision has none of that kind.
"""

import os
import sys

import torch
from serve import keep_memory, serve
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

keep_memory()
folder, batch, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(os.cpu_count() or 1)
images = ImageFolder(
    folder,
    transforms.Compose(
        [
            transforms.RandomCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (1.0, 1.0, 1.0)),
        ]
    ),
)
loader = DataLoader(images, batch, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True)


def one_pass() -> None:
    """All images once, as batches in the layout that the training step takes."""
    for pixels, _ in loader:
        pixels.to(memory_format=torch.channels_last)


serve(one_pass)
