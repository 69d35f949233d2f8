"""What the tests of training share."""

from dataclasses import replace

import pytest

from alexnet.data.prepared import Prepared
from alexnet.run.recipe import Recipe
from tests.conftest import CLASSES, prepare_pictures


@pytest.fixture(scope="module")
def one_epoch(tiny_recipe: Recipe) -> Recipe:
    return replace(tiny_recipe, epochs=1)


@pytest.fixture(scope="module")
def with_validation(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Other pictures of three of the classes."""
    return prepare_pictures(tmp_path_factory.mktemp("three"), 8, seed=9, kinds=CLASSES[:3])
