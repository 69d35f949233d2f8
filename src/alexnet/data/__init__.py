"""§2 the dataset and §4.1 augmentation: sources → prepare → prepared → batches."""

from alexnet.data import prepare, prepared

__all__ = ["prepare", "prepared"]
