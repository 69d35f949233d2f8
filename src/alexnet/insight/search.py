"""Exact nearest neighbours: the rows of any number of blocks that are nearest to a query by Euclidean distance.

The search needs memory for one block at a time. One matrix product a block gives every distance within a bound that
rounding cannot exceed; those that may be among the nearest are computed again, directly, in float64.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from alexnet.network.linear import product

PIECE = 4096
"""Features summed by one product, all of fc7: fewer bring the bound on its rounding closer, more are faster."""

_PAIRS = 1 << 18
"""Numbers of candidates that are computed again at a time: 2 MB of float64, which a cache holds."""


@torch.no_grad()
def nearest(queries: Tensor, blocks: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The `count` rows nearest to each query: distances float32 [Q, count], ascending, and indices int64 [Q, count].

    queries [Q, F]; blocks [B, F] of any number type, on any device: rows are counted through all of them, from 0. With fewer
    rows than `count` in all, so many are returned. Products are taken on the device of `queries`, the answer is on the CPU.

    Exact: what is returned is what a direct sum of (q - x)² in float64 finds, rounded to float32 and ordered by (distance,
    index), so of rows at equal distances those with lower indices come first. A row with a NaN is farther than any other.
    Raises ValueError if `count` is below 1 or a block has another number of features.
    """
    if count < 1:
        raise ValueError(f"count is {count}; there must be at least 1 neighbour")
    number, features = queries.shape
    plain, exact = queries.float(), queries.cpu().double()
    # A sum of n products, in whatever order, is off by at most n u times the sum of their sizes, and 2|q||x| is at most
    # |q|² + |x|²: so |q|² + |x|² - 2qx is off by at most `off` times |q|² + |x|², u being half of float32's last bit.
    off = 2 * (min(features, PIECE) + -(-features // PIECE) + 16) * 2.0**-24
    if torch.get_float32_matmul_precision() != "highest" and features:
        off += 2.0**-7  # factors may have been rounded to bfloat16
    query_squares, doubled = _squares(plain), -2 * plain
    distances, indices = torch.empty(number, 0), torch.empty(number, 0, dtype=torch.int64)
    seen = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != features:
            raise ValueError(f"a block is {list(block.shape)}; with these queries it has to be [B, {features}]")
        if not len(block):
            continue
        rows = block.to(plain.device, torch.float32)
        squares = _squares(rows)
        # Squared distances, each too small by 0 to 2 `off` times the squares, and all without |q|².
        least = product(doubled[:, :PIECE], rows[:, :PIECE], (1 - off) * squares)
        for start in range(PIECE, features, PIECE):
            least += product(doubled[:, start : start + PIECE], rows[:, start : start + PIECE])
        limit = query_squares.new_full((number,), torch.inf)
        if len(block) >= count:  # so many rows are surely no farther than this
            limit = least.kthvalue(count).values + 2 * off * (query_squares + squares.max())
        if distances.shape[1] == count:
            worst = distances[:, -1].to(limit.device).square() * (1 + 2.0**-21)
            limit = limit.minimum(worst - (1 - off) * query_squares)
        query, row = (~(least > limit[:, None])).nonzero().cpu().unbind(1)  # "not above" is true of NaN
        candidates = _distances(exact, block, query, row)
        distances, indices = _merge(distances, indices, query, candidates, row + seen, count)
        seen += len(block)
    return distances, indices


def _squares(rows: Tensor) -> Tensor:
    """The |x|² of rows float32 [N, F], summed piece by piece like the products, so that the same bound holds."""
    squares = rows.new_zeros(len(rows))
    for piece in rows.split(PIECE, dim=1):
        squares += torch.linalg.vector_norm(piece, dim=1).square_()
    return squares


def _distances(queries: Tensor, block: Tensor, query: Tensor, row: Tensor) -> Tensor:
    """Distances float32 [P] between queries[query] (float64, on the CPU) and block[row], by direct sums in float64."""
    at_a_time = max(1, _PAIRS // max(1, queries.shape[1]))
    distances = torch.empty(len(row), dtype=torch.float32)
    for start in range(0, len(row), at_a_time):
        part = slice(start, start + at_a_time)
        apart = block[row[part].to(block.device)].cpu().double().sub_(queries[query[part]])
        distances[part] = torch.linalg.vector_norm(apart, dim=1).float()
    return distances


def _merge(
    distances: Tensor, indices: Tensor, query: Tensor, new: Tensor, new_at: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """The best `count` of [Q, C] and of candidates [P], which are listed by `query` and then by index; all indices new."""
    number = len(distances)
    each = torch.bincount(query, minlength=number)
    place = torch.arange(len(query)) - (each.cumsum(0) - each)[query]
    most = int(each.max()) if number else 0
    # Empty places are NaN: behind all rows that are there, if they were NaN themselves, as the sort is stable.
    more, more_at = torch.full((number, most), torch.nan), torch.full((number, most), -1)
    more[query, place], more_at[query, place] = new, new_at
    together, together_at = torch.cat([distances, more], dim=1), torch.cat([indices, more_at], dim=1)
    # What was there has the lower indices, so a stable sort puts equal distances in the order of their indices.
    sorted_, order = together.sort(dim=1, stable=True)
    return sorted_[:, :count].clone(), together_at.gather(1, order)[:, :count].clone()
