"""§5 learning: `train` makes a run, `resume` goes on with one."""

from alexnet.training.call import Outcome, Start, Status
from alexnet.training.start import resume, train

__all__ = ["Outcome", "Start", "Status", "resume", "train"]
