"""smilelab: is a smile on video spontaneous or posed? Two papers, one protocol, every number regenerated."""

__version__ = "0.1.0"
