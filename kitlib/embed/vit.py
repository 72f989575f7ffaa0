"""The kit's own small vision transformer, which timm knows by its name: 64 patches a slice.

Dosovitskiy et al.: An image is worth 16 x 16 words (2021), at a size that two cores can train.
"""

from typing import Any

from timm.layers import Attention, build_sincos2d_pos_embed
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from kitlib.embed.names import SPINE_VIT_PX, SPINE_VIT_SHAPE


def build_vit(*, px: int, grid: int, width: int, depth: int, heads: int, dropout: float = 0.0) -> Any:
    """An untrained transformer on (B, 3, px, px) with grid x grid patches, whose mean is the embedding."""
    network: Any = VisionTransformer(
        img_size=px,
        patch_size=px // grid,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2.0,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
        proj_drop_rate=dropout,
    )
    # A few studies do not teach the order of the patches: it starts as sines and cosines.
    network.pos_embed = nn.Parameter(build_sincos2d_pos_embed([grid, grid], dim=width)[None])
    for attention in (one for one in network.modules() if isinstance(one, Attention)):
        # Of 64 patches on one core, a step took 1.3 to 2.2 times as long with the fused attention.
        attention.fused_attn = False  # type: ignore[misc]  # timm has it final, and no argument for it
    network.pretrained_cfg = {}  # timm's models say here what their classifier is: this one has none
    return network


@register_model
def spine_vit(**_: Any) -> VisionTransformer:
    """The transformer whose weights come with the kit; timm calls this, with settings of its own."""
    return build_vit(px=SPINE_VIT_PX, **SPINE_VIT_SHAPE)
