"""Weights are exchanged with Caffe, torchvision, ONNX and OpenVINO; layer files of the 2012 program are read.

`import_weights` makes a run folder of a file, `export` a file of a run folder, each compared with the other program's own
definition before it is kept; `import_layers` makes a network of a layer file.
"""

from alexnet.exchange.exports import Exported, export
from alexnet.exchange.foreign import kind_of
from alexnet.exchange.imports import Imported, ImportedNetwork, import_layers, import_weights

__all__ = ["Exported", "Imported", "ImportedNetwork", "export", "import_layers", "import_weights", "kind_of"]
