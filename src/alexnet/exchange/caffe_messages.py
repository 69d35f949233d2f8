"""The messages in Caffe's files are those that caffe.proto, beside this module, declares."""

import re
from functools import cache
from importlib import resources
from typing import Any

from alexnet.errors import InputError
from alexnet.extras import need

_FIELD = re.compile(r"(optional|repeated) (\w+) (\w+) = (\d+)(?: \[(default|packed) = (\S+)\])?;")


@cache
def classes() -> dict[str, Any]:
    """Return the message classes of caffe.proto by name; protobuf itself reads such files only to generate code.

    Raises InputError where protobuf is not installed.
    """
    need("caffe")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    text = resources.files("alexnet.exchange").joinpath("caffe.proto").read_text("utf-8")
    file = descriptor_pb2.FileDescriptorProto(name="alexnet/caffe.proto", package="alexnet_caffe", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for statement, name, body in re.findall(r"(message|enum) (\w+) \{(.*?)\n\}", text, re.DOTALL):
        if statement == "enum":
            enum = file.enum_type.add(name=name)
            for value, number in re.findall(r"(\w+) = (\d+);", body):
                enum.value.add(name=value, number=int(number))
            continue
        message = file.message_type.add(name=name)
        for label, kind, field, number, option, value in _FIELD.findall(body):
            declared = message.field.add(name=field, number=int(number))
            declared.label = kinds.Label.Value(f"LABEL_{label.upper()}")
            if scalar := kinds.Type.DESCRIPTOR.values_by_name.get(f"TYPE_{kind.upper()}"):
                declared.type = scalar.number
            else:  # a message or an enum, which the pool tells apart
                declared.type_name = f".alexnet_caffe.{kind}"
            if option == "default":
                declared.default_value = value
            if option == "packed":
                declared.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"alexnet_caffe.{message.name}"))
        for message in file.message_type
    }


def parse(kind: str, content: bytes, where: object) -> Any:
    """Read a binary file as a message of class `kind`; InputError, naming `where`, if it is none."""
    message = classes()[kind]()
    from google.protobuf.message import DecodeError  # there, as `classes` has looked

    try:
        message.ParseFromString(content)
    except (DecodeError, RuntimeError, MemoryError) as error:
        raise InputError(f"{where}: cut short, damaged, or no binary file of Caffe ({error})") from None
    return message


def parse_text(kind: str, text: str, where: object) -> Any:
    """Read a .prototxt as a message of class `kind`; fields that are not declared here are skipped."""
    message = classes()[kind]()
    from google.protobuf import text_format

    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except (text_format.ParseError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: not a .prototxt of Caffe: {error}") from None
    return message


def text_of(message: Any) -> str:
    """Return a message as the text of a .prototxt."""
    from google.protobuf import text_format

    return str(text_format.MessageToString(message))
