"""`SparseModelHubMixin`: `save_pretrained` and `from_pretrained` for sparse networks."""

from pathlib import Path
from typing import Any, Self

from torch import nn

from openwork import io
from openwork.errors import ArgumentError
from openwork.integrations.packages import imported

_HUB: Any = imported(("huggingface_hub",), "hub")
_FILE = "model.safetensors"


class SparseModelHubMixin(_HUB.ModelHubMixin):
    """A network of this class is saved to a folder or the hub with its patterns, and comes back.

        class Net(nn.Module, SparseModelHubMixin):
            def __init__(self, width: int = 16): ...

        net.save_pretrained("folder")
        net = Net.from_pretrained("folder")

    The folder holds `config.json`, the arguments of `__init__`, and `model.safetensors` as
    `openwork.save` writes it: sparse, pruned, grown and compacted networks alike. Nothing is
    unpickled. A folder on this machine needs no network.
    """

    def _save_pretrained(self, save_directory: Path) -> None:
        if not isinstance(self, nn.Module):
            raise ArgumentError(
                f"{type(self).__name__} must be an nn.Module: class {type(self).__name__}"
                "(nn.Module, SparseModelHubMixin)"
            )
        io.save(self, Path(save_directory) / _FILE)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **more: Any) -> Self:
        where = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        asked = {name: more.pop(name) for name in where if name in more}
        more.pop("strict", None)
        folder = Path(model_id)
        if folder.is_dir():
            path = folder / _FILE
        else:
            path = Path(_HUB.hf_hub_download(model_id, _FILE, **asked))
        return io.load(path, lambda: cls(**more), device=map_location)  # type: ignore[return-value]
