"""faiss's exact search: faiss_flat.py blocks|index FILE FEATURES QUERIES COUNT THREADS.

blocks: `faiss.knn` on one block of the mapped file after another, answers merged. index: IndexFlatL2 with all rows in memory,
put there before the rounds; a round is the search alone.
"""

import sys

import faiss
import numpy as np
from serve import keep_memory, serve

form, path = sys.argv[1:3]
features, number, count, threads = map(int, sys.argv[3:])
keep_memory()
faiss.omp_set_num_threads(threads)
rows = np.memmap(path, np.float32, "r").reshape(-1, features)
queries = np.array(rows[-number:]) + 0.25  # as in ../neighbours.py
index = faiss.IndexFlatL2(features)
if form == "index":
    for start in range(0, len(rows), 4096):
        block = np.fromfile(path, np.float32, 4096 * features, offset=4 * features * start)
        index.add(block.reshape(-1, features))


def one_round() -> None:
    if form == "index":
        index.search(queries, count)
        return
    best, where = np.full((number, 0), np.inf, np.float32), np.zeros((number, 0), np.int64)
    for start in range(0, len(rows), 4096):
        squares, found = faiss.knn(queries, rows[start : start + 4096], count)
        best, where = np.hstack([best, squares]), np.hstack([where, found + start])
        order = best.argsort(axis=1, kind="stable")[:, :count]
        best, where = np.take_along_axis(best, order, axis=1), np.take_along_axis(where, order, axis=1)


serve(one_round)
