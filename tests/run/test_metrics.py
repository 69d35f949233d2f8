"""metrics.jsonl: what its lines say of the epochs."""

from alexnet.run.metrics import epochs


def test_of_an_epoch_that_was_written_twice_the_later_line_counts() -> None:
    lines = [
        {"kind": "start"},
        {"kind": "step", "step": 3},
        *(
            {"kind": "epoch", "epoch": number, "loss": loss}
            for number, loss in ((1, 4.0), (2, 3.0), (2, 2.5), (3, 2.0))
        ),
    ]
    assert [(line["epoch"], line["loss"]) for line in epochs(lines)] == [(1, 4.0), (2, 2.5), (3, 2.0)]
    assert epochs(lines[:2]) == []
