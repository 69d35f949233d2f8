"""Caffe's files as protobuf messages: only the fields that are needed, declared here; a reader skips all others.

The numbers of the fields are those of Caffe's format (caffe.proto). Its packed floats have the same bytes on disk as a
bytes field, which is what they are declared as: 61 million of them are then one array and no list.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from alexnet.errors import InputError

_ENUMS = {
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "RoundMode": {"CEIL": 0, "FLOOR": 1},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    # Those of 2014 that `caffe.py` knows; any other becomes NONE.
    "LayerType": {
        "NONE": 0,
        "ACCURACY": 1,
        "CONVOLUTION": 4,
        "DATA": 5,
        "DROPOUT": 6,
        "FLATTEN": 8,
        "HDF5_DATA": 9,
        "IMAGE_DATA": 12,
        "INNER_PRODUCT": 14,
        "LRN": 15,
        "POOLING": 17,
        "RELU": 18,
        "SIGMOID": 19,
        "SOFTMAX": 20,
        "SOFTMAX_LOSS": 21,
        "SPLIT": 22,
        "TANH": 23,
        "WINDOW_DATA": 24,
        "MEMORY_DATA": 29,
        "ARGMAX": 30,
        "DUMMY_DATA": 32,
        "SILENCE": 36,
    },
}

# Name of a field: its number, its type, * where it is repeated, = its default.
_PARAMETERS = {
    "convolution_param": (106, 10, "ConvolutionParameter"),
    "data_param": (107, 11, "DataParameter"),
    "dropout_param": (108, 12, "DropoutParameter"),
    "inner_product_param": (117, 17, "InnerProductParameter"),
    "lrn_param": (118, 18, "LRNParameter"),
    "pooling_param": (121, 19, "PoolingParameter"),
    "relu_param": (123, 30, "ReLUParameter"),
    "transform_param": (100, 36, "TransformationParameter"),
}
_MESSAGES: dict[str, dict[str, str]] = {
    "BlobShape": {"dim": "1 int64*"},
    "BlobProto": {
        "num": "1 int64",
        "channels": "2 int64",
        "height": "3 int64",
        "width": "4 int64",
        "data": "5 bytes*",
        "shape": "7 BlobShape",
        "double_data": "8 bytes*",
    },
    "ConvolutionParameter": {
        "num_output": "1 uint32",
        "bias_term": "2 bool=true",
        "pad": "3 uint32*",
        "kernel_size": "4 uint32*",
        "group": "5 uint32=1",
        "stride": "6 uint32*",
        "pad_h": "9 uint32",
        "pad_w": "10 uint32",
        "kernel_h": "11 uint32",
        "kernel_w": "12 uint32",
        "stride_h": "13 uint32",
        "stride_w": "14 uint32",
        "dilation": "18 uint32*",
    },
    "PoolingParameter": {
        "pool": "1 PoolMethod",
        "kernel_size": "2 uint32",
        "stride": "3 uint32=1",
        "pad": "4 uint32",
        "kernel_h": "5 uint32",
        "kernel_w": "6 uint32",
        "stride_h": "7 uint32",
        "stride_w": "8 uint32",
        "pad_h": "9 uint32",
        "pad_w": "10 uint32",
        "global_pooling": "12 bool",
        "round_mode": "13 RoundMode",
    },
    "InnerProductParameter": {"num_output": "1 uint32", "bias_term": "2 bool=true", "transpose": "6 bool"},
    "LRNParameter": {
        "local_size": "1 uint32=5",
        "alpha": "2 float=1",
        "beta": "3 float=0.75",
        "norm_region": "4 NormRegion",
        "k": "5 float=1",
    },
    "DropoutParameter": {"dropout_ratio": "1 float=0.5"},
    "ReLUParameter": {"negative_slope": "1 float"},
    "InputParameter": {"shape": "1 BlobShape*"},
    "DataParameter": {"scale": "2 float=1", "crop_size": "5 uint32"},
    "TransformationParameter": {"scale": "1 float=1", "crop_size": "3 uint32", "mean_value": "5 float*"},
    "LayerParameter": {
        "name": "1 string",
        "type": "2 string",
        "bottom": "3 string*",
        "top": "4 string*",
        "blobs": "7 BlobProto*",
        "input_param": "143 InputParameter",
        **{name: f"{new} {kind}" for name, (new, _, kind) in _PARAMETERS.items()},
    },
    "V0LayerParameter": {"name": "1 string"},
    "V1LayerParameter": {
        "layer": "1 V0LayerParameter",
        "bottom": "2 string*",
        "top": "3 string*",
        "name": "4 string",
        "type": "5 LayerType",
        "blobs": "6 BlobProto*",
        **{name: f"{old} {kind}" for name, (_, old, kind) in _PARAMETERS.items()},
    },
    "NetParameter": {
        "name": "1 string",
        "layers": "2 V1LayerParameter*",
        "input": "3 string*",
        "input_dim": "4 int64*",
        "input_shape": "8 BlobShape*",
        "layer": "100 LayerParameter*",
    },
}


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="alexnet/caffe.proto", package="alexnet_caffe", syntax="proto2")
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "int64": kinds.TYPE_INT64,
        "uint32": kinds.TYPE_UINT32,
        "float": kinds.TYPE_FLOAT,
        "bool": kinds.TYPE_BOOL,
        "string": kinds.TYPE_STRING,
        "bytes": kinds.TYPE_BYTES,
    }
    for name, described in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, text in described.items():
            tag, kind = text.split()
            kind, _, default = kind.partition("=")
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            made = message.field.add(name=field, number=int(tag), label=label)
            if kind in scalars:
                made.type = scalars[kind]
            else:
                made.type = kinds.TYPE_ENUM if kind in _ENUMS else kinds.TYPE_MESSAGE
                made.type_name = f".alexnet_caffe.{kind}"
            if default:
                made.default_value = default
            if (name, field) == ("BlobShape", "dim"):
                made.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"alexnet_caffe.{name}")) for name in _MESSAGES
    }


CLASSES = _declare()
"""Message classes by name."""


def parse(kind: str, content: bytes, where: object) -> Any:
    """The message `kind` of a binary file; InputError, naming `where`, if it is none."""
    message = CLASSES[kind]()
    try:
        message.ParseFromString(content)
    except (DecodeError, RuntimeError, MemoryError) as error:
        raise InputError(f"{where}: cut short, damaged, or no binary file of Caffe ({error})") from None
    return message


def parse_text(kind: str, text: str, where: object) -> Any:
    """The message `kind` of a .prototxt; fields that are not declared here are skipped."""
    message = CLASSES[kind]()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: not a .prototxt of Caffe: {error}") from None
    return message


def print_text(message: Any) -> str:
    """A message as the text of a .prototxt."""
    return text_format.MessageToString(message)
