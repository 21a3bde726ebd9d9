"""How is it trained? Layers that store only live weights, and plans that put them into a model."""

from openwork.nn.change.grow import grow_ as grow_
from openwork.nn.cost import MemoryUse as MemoryUse
from openwork.nn.cost import count_macs as count_macs
from openwork.nn.cost import memory_use as memory_use
from openwork.nn.kinds.sparse_conv1d import SparseConv1d as SparseConv1d
from openwork.nn.norms.batch_norm_act import BatchNormAct2d as BatchNormAct2d
from openwork.nn.norms.depthwise_conv2d import NativeDepthwiseConv2d as NativeDepthwiseConv2d
from openwork.nn.norms.fuse import FusedNorms as FusedNorms
from openwork.nn.norms.fuse import fuse_norms_ as fuse_norms_
from openwork.nn.norms.fuse import unfuse_norms_ as unfuse_norms_
from openwork.nn.norms.max_pool2d import NativeMaxPool2d as NativeMaxPool2d
from openwork.nn.plan import Plan as Plan
from openwork.nn.sparse_conv2d import SparseConv2d as SparseConv2d
from openwork.nn.sparse_layer import SparseLayer as SparseLayer
from openwork.nn.sparse_linear import SparseLinear as SparseLinear
from openwork.nn.sparsify import densify_ as densify_
from openwork.nn.sparsify import sparsify_ as sparsify_
from openwork.nn.ssc.ssc_block import SSCBlock as SSCBlock
from openwork.nn.ssc.ssc_plan import ssc_plan as ssc_plan
from openwork.nn.table import Table as Table
from openwork.nn.timing.training_table import training_table as training_table
from openwork.nn.timing.training_times import LayerDirection as LayerDirection
from openwork.nn.timing.training_times import LayerTimes as LayerTimes
from openwork.nn.timing.training_times import TrainingTimes as TrainingTimes

__all__ = [
    "BatchNormAct2d",
    "FusedNorms",
    "LayerDirection",
    "LayerTimes",
    "MemoryUse",
    "NativeDepthwiseConv2d",
    "NativeMaxPool2d",
    "Plan",
    "SSCBlock",
    "SparseConv1d",
    "SparseConv2d",
    "SparseLayer",
    "SparseLinear",
    "Table",
    "TrainingTimes",
    "count_macs",
    "densify_",
    "fuse_norms_",
    "grow_",
    "memory_use",
    "sparsify_",
    "ssc_plan",
    "training_table",
    "unfuse_norms_",
]
