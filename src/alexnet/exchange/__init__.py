"""Weights are exchanged with Caffe, torchvision, ONNX and OpenVINO, and written as one file; layer files of 2012 are read.

`import_weights` makes a run folder of a file, `export` a file of a run folder, each compared with the other program's own
definition before it is kept; `import_layers` makes a network of a layer file.
"""

from alexnet.exchange.exported import Exported
from alexnet.exchange.exports import export
from alexnet.exchange.foreign import kind_of
from alexnet.exchange.imports import ImportedNetwork, import_layers, import_weights
from alexnet.exchange.new_run import Imported

__all__ = ["Exported", "Imported", "ImportedNetwork", "export", "import_layers", "import_weights", "kind_of"]
