"""Published checkpoints of SRFlow, NCSR, FS-NCSR, robustNF and LLFlow as models of ours.

reading.py opens the .pth without running what lies in it, isolated.py has it do so in a process of its own,
options.py reads the .yml, layout.py tells sizes from
the weights' shapes, families.py joins both into a model's configuration, mapping.py says which published
tensor is which of ours. To add a family: an entry in families.FAMILIES, and its names in mapping.py.
"""

from pipeline.upstream.model import Nll, UpstreamModel, import_upstream, load_upstream

__all__ = ["Nll", "UpstreamModel", "import_upstream", "load_upstream"]
