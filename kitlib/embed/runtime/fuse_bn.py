"""Batch normalisations folded into convolutions: the same network with less to do."""

import copy
import warnings
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLDED = (nn.BatchNorm2d, nn.BatchNorm3d)
"""Exactly these types: timm's own, which inherit from them, have an activation inside."""


def folded(network: nn.Module) -> nn.Module:
    """A copy with batch normalisations folded into the convolutions before them.

    Where FX cannot follow the network nothing is folded, with a warning: only speed is lost.
    """
    network = copy.deepcopy(network)
    if not any(type(module) in FOLDED for module in network.modules()):
        return network
    try:
        traced = fx.symbolic_trace(network)
    except Exception as error:  # FX cannot follow branches on data, and raises what it likes
        warnings.warn(
            f"batch normalisations stay, so this network runs slower: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return network
    name2module: dict[str, Any] = dict(traced.named_modules())
    for node in traced.graph.nodes:
        norm: Any = name2module.get(node.target) if node.op == "call_module" else None
        if type(norm) not in FOLDED:
            continue
        (before,) = node.all_input_nodes
        convolution = name2module.get(before.target) if before.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d | nn.Conv3d) and len(before.users) == 1:
            traced.set_submodule(before.target, fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
