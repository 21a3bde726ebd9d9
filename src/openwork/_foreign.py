"""What a file of another program is, from its first bytes, so that a message can name it."""

import os
import zipfile
from pathlib import Path

from openwork._files import open_file

_TORCH = "a file of torch.save"
_SCRIPT = "a TorchScript archive"
_EXPORTED = "a program of torch.export"
_PICKLE = "a Python pickle"
ONNX = "an ONNX model"
_CODE = "Python code"
_PACKED = "a packed network"
# Read by torch.load.
PICKLES = (_TORCH, _PICKLE)

_WEIGHTS = (
    "load its weights with openwork.load_weights_ (--weights on the command line), which "
    "unpickles nothing but tensors"
)
_REBUILD = (
    "openwork needs the network in PyTorch: build it there, load its weights, then pass it to "
    "openwork.save or openwork.compile"
)
_WAYS_OUT = {
    _TORCH: _WEIGHTS,
    _PICKLE: _WEIGHTS,
    _SCRIPT: _REBUILD,
    _EXPORTED: "load it with torch.export.load and pass its .module() to openwork.compile",
    ONNX: (
        "openwork.compile takes it as it is, and openwork.from_onnx makes it a network in PyTorch"
    ),
    "a Git LFS pointer": "the file itself is still on the server; fetch it with `git lfs pull`",
    _PACKED: "openwork.runtime.load runs it, and openwork predict; load the file it was made of",
    _CODE: "name the function in it that builds the network: --model net.py:build",
    "empty": "write it again, or use a complete copy",
}
PACKED_MAGIC = b"openwork packed\n"
# First bytes -> what the file is.
_MAGIC = {
    PACKED_MAGIC: _PACKED,
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras and PyTables write",
    b"GGUF": "a GGUF file",
    b"\x93NUMPY": "a numpy array",
    b"version https://git-lfs": "a Git LFS pointer",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x89PNG\r\n\x1a\n": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program or library",
    b"<!DOCTYPE": "an HTML page",
    b"<html": "an HTML page",
}
_LARGEST_VERSION = 64


def kind_of_file(path: str | os.PathLike[str]) -> str | None:
    """What the file at `path` is, in words; None for safetensors and whatever is not known.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(path) as file:
        front = file.read(512)
    if not front:
        return "empty"
    if front.startswith(b"PK\x03\x04"):
        return _archive(path)
    for magic, kind in _MAGIC.items():
        if front.startswith(magic):
            return kind
    if Path(path).suffix.lower() == ".py":
        return _CODE
    if front[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if front[257:262] == b"ustar":
        return "a tar archive"
    # A pickle begins with its protocol, and one that torch or Python wrote since 2003 has it >= 2.
    if front[0] == 0x80 and 2 <= front[1] <= 5:
        return _TORCH if b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." in front else _PICKLE
    return ONNX if _is_onnx(front, Path(path)) else None


def not_ours(path: str | os.PathLike[str], kind: str) -> str:
    """The message for a file of this `kind` where one of openwork is needed."""
    way_out = _WAYS_OUT.get(kind, "openwork.save writes the files that openwork loads")
    foreign = "" if kind == _PACKED else ", not a file of openwork"
    return f"`path`={str(path)!r} is {kind}{foreign}; {way_out}"


def _archive(path: str | os.PathLike[str]) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "a truncated zip archive, perhaps of torch.save"
    ends = {name.partition("/")[2] or name for name in names}
    if "archive_format" in ends or "serialized_exported_program.json" in names:
        return _EXPORTED
    if "constants.pkl" in ends and any(end.startswith("code/") for end in ends):
        return _SCRIPT
    if "data.pkl" in ends:
        return _TORCH
    if "metadata.json" in names and "model.weights.h5" in names:
        return "a Keras model"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of numpy arrays"
    return "a zip archive"


def _is_onnx(front: bytes, path: Path) -> bool:
    """Whether it begins as an ONNX model: field 1 is a small version, then another field."""
    fields = bytes(number << 3 | 2 for number in range(2, 21)) + bytes((0x28,))
    looks = len(front) > 2 and front[0] == 8 and front[1] <= _LARGEST_VERSION and front[2] in fields
    # Eight bytes of length begin a safetensors file, and a `{` follows.
    return (looks and front[8:9] != b"{") or path.suffix.lower() == ".onnx"
