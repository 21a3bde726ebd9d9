"""openwork: convolutional networks that are mostly openings."""

from openwork._version import __version__ as __version__
