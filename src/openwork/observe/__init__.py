"""What did training leave dead? Channels by their scales and by their activations."""

from openwork.observe.history import EpochSparsity as EpochSparsity
from openwork.observe.history import SparsityHistory as SparsityHistory
from openwork.observe.observe import observe as observe
from openwork.observe.report import ChannelReport as ChannelReport
from openwork.observe.report import LayerChannels as LayerChannels

__all__ = ["ChannelReport", "EpochSparsity", "LayerChannels", "SparsityHistory", "observe"]
