"""The bytes of a step, by hand; tests/training/test_distributed.py compares them with what processes send."""

from alexnet.network.networks import authors_2012, paper
from benchmarks.traffic import traffic


def test_the_bytes_of_the_papers_network() -> None:
    data, columns, hybrid = (traffic(paper, mode, 128, 2) for mode in ("data", "columns", "hybrid"))
    assert data.total == 4 * 60_965_224  # a ring of two sends everything once
    # conv3 reads 128 maps of 13x13 of the other column, fc6 128 of 6x6, fc7 2048 units; two maps beside the border are read
    # before each normalization; and the products of the last layer are added up.
    assert columns.backward == 4 * 128 * (128 * 13**2 + 128 * 6**2 + 2048 + 2 * 55**2 + 2 * 27**2)
    assert columns.forward == columns.backward + 4 * 128 * 1000
    assert hybrid.gradients == 4 * (34_944 + 307_456 + 885_120 + 663_936 + 442_624)
    assert hybrid.forward == 4 * (64 * 9216 + 128 * 2048 + 128 * 1000)
    authors = traffic(authors_2012, "columns", 128, 2)
    assert columns.backward - authors.backward == 4 * 128 * 2 * (55**2 + 27**2)  # the program's window needs no halo
    assert traffic(paper, "columns", 128, 2, activation=2).backward == columns.backward // 2
    assert traffic(paper, "data", 128, 1).total == 0
