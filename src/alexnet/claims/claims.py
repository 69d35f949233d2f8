"""All claims. An experiment is a base recipe and a `replace`.

The base is the scale's own recipe; what a claim does to it is the same at every scale.
"""

from dataclasses import replace

from alexnet.claims import beyond, program, sections_3_to_5, sections_6_and_7
from alexnet.claims.claim import Claim

claims: dict[str, Claim] = {
    claim.id: claim for claim in (*sections_3_to_5.CLAIMS, *sections_6_and_7.CLAIMS, *beyond.CLAIMS, *program.CLAIMS)
}
"""The rows of the ledger, in their order."""

table2 = replace(
    sections_6_and_7.table2,
    comparisons=tuple(
        comparison for claim in claims.values() if claim.result == "table2" for comparison in claim.comparisons
    ),
)
"""The experiment of the claims whose `result` it is."""


def experiment(claim: Claim) -> Claim:
    """The claim whose runs give the figures of a row: itself, or the one that it shares with others."""
    return table2 if claim.result == table2.id else claim
