"""What is dead? Channels that no output depends on, and networks without them."""

from openwork.channels.channel_report import ChannelReport as ChannelReport
from openwork.channels.channel_report import LayerChannels as LayerChannels
from openwork.channels.compact import compact as compact
from openwork.channels.history import EpochSparsity as EpochSparsity
from openwork.channels.history import SparsityHistory as SparsityHistory
from openwork.channels.observe import observe as observe
from openwork.channels.proof import Case as Case
from openwork.channels.report import Proof as Proof

__all__ = [
    "Case",
    "ChannelReport",
    "EpochSparsity",
    "LayerChannels",
    "Proof",
    "SparsityHistory",
    "compact",
    "observe",
]
