"""Weights of others, in and out: Caffe's, torchvision's, ONNX and OpenVINO; and the layer files of the 2012 program.

`import_weights` makes a run folder of a file, `export` a file of a run folder, each compared with the other program's own
definition before it is kept; `import_layers` makes a network of a layer file.
"""

from alexnet.exchange.exports import Exported, export
from alexnet.exchange.foreign import kind_of
from alexnet.exchange.imports import Imported, ImportedNetwork, import_layers, import_weights

__all__ = ["Exported", "Imported", "ImportedNetwork", "export", "import_layers", "import_weights", "kind_of"]
