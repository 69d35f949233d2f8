"""Work in parts: every item once, in order, whatever the number of threads; errors come out."""

from collections.abc import Iterator

import pytest
import torch

from alexnet.parallel import in_parts


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("items", [0, 1, 2, 3, 7, 100])
def test_every_item_is_worked_on_once(threads: int, items: int) -> None:
    done: list[int] = []
    in_parts(lambda start, stop: done.extend(range(start, stop)), items)
    assert sorted(done) == list(range(items))


def test_small_work_stays_in_one_part(threads: int) -> None:
    parts: list[tuple[int, int]] = []
    in_parts(lambda start, stop: parts.append((start, stop)), 99, least=50)
    assert parts == [(0, 99)]


def test_an_error_comes_out_after_all_parts_have_ended(threads: int) -> None:
    ended: list[int] = []

    def work(start: int, stop: int) -> None:
        ended.append(start)
        if start == 0:
            raise ValueError("the first part")

    with pytest.raises(ValueError, match="the first part"):
        in_parts(work, 10)
    assert len(ended) == threads
