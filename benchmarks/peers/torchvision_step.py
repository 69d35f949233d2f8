"""torchvision's alexnet with the training step of its reference script, on images already in memory.

    python torchvision_step.py BATCH eager|channels-last|channels-last-bf16

Cross entropy, SGD with momentum .9 and weight decay 1e-4, `model.train()`; no LRN, no columns, other widths. bf16: forward and
loss under `torch.autocast("cpu", dtype=torch.bfloat16)`.
"""

import sys

import torch
import torchvision
from serve import keep_memory, serve
from torch import nn

keep_memory()
batch, form = int(sys.argv[1]), sys.argv[2]
layout = torch.contiguous_format if form == "eager" else torch.channels_last
torch.manual_seed(0)
model = torchvision.models.alexnet(num_classes=1000).to(memory_format=layout).train()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
image = torch.randn(batch, 3, 224, 224).to(memory_format=layout)
target = torch.randint(1000, (batch,))


def step() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=form.endswith("bf16")):
        output = model(image)
        loss = criterion(output, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


serve(step)
