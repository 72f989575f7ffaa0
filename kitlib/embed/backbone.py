"""Load backbones by name, with their weights: networks on slices or on volumes."""

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from kitlib.embed.inflated import InflatedBackbone, build_inflated_network
from kitlib.embed.names import CT_RESNET, VOLUME_NETWORKS, reads_volumes
from kitlib.embed.runtime.int8 import holds_eight_bits
from kitlib.embed.slices import Backbone, build_slice_network, slice_network_names
from kitlib.embed.volumes import VolumeBackbone, build_volume_network
from kitlib.embed.weights.sources import WeightsSource, find_weights, load_strictly
from kitlib.errors import UsageError

DEFAULT_PX = 224


def load_backbone(
    name: str,
    *,
    weights: str = "auto",
    attached_dir: Path | None = None,
    input_px: int | None = None,
    field_of_view: str | None = None,
) -> Backbone:
    """Load a backbone with the weights found by `find_weights`.

    Names are timm's, `torchvision/<name>`, `medicalnet_resnet<depth>` and `ct_resnet152`. `input_px` and
    `field_of_view` (one of FIELDS_OF_VIEW) default to what the weights were trained with, if that is known,
    else to DEFAULT_PX and "whole".
    """
    source = find_weights(known_backbone(name), weights, attached_dir)
    network = None if holds_eight_bits(source.file) else weighted_network(name, source)
    facts: dict[str, Any] = {"input_px": DEFAULT_PX, "view": "whole"} | source.facts
    return kind_of(name)(network, source, input_px or facts["input_px"], field_of_view or facts["view"])


def weighted_network(name: str, source: WeightsSource) -> nn.Module:
    """Build a network with the weights of a source, not an eight-bit one; random weights are reproducible."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, head = build_network(name)
    if source.file is not None:
        load_strictly(network, source.file, head)
    return network


def known_backbone(name: str) -> str:
    """Return the name. Raises UsageError, with the nearest names, if no library has it."""
    names = [*slice_network_names(), *VOLUME_NETWORKS]
    if name in names or timm.is_model(name):
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    raise UsageError(f"unknown backbone {name!r}", hint=f"Did you mean {', '.join(near) or 'resnet10t'}?")


def build_network(name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """Build an untrained network without its classifier; also returns the names of the removed modules."""
    if name == CT_RESNET:
        return build_inflated_network(), ()
    return (build_volume_network(name), ()) if reads_volumes(name) else build_slice_network(name)


def kind_of(name: str) -> type[Backbone]:
    """Return the Backbone class for this name, which converts stacks to inputs and scales grey values."""
    if name == CT_RESNET:
        return InflatedBackbone
    return VolumeBackbone if reads_volumes(name) else Backbone
