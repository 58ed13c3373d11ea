"""What is put on a backbone: feature maps → logits. Every head takes maps, and pools them itself."""

from __future__ import annotations

from torch import Tensor, nn

from mien.training.networks.backbone import Backbone


class HeadedNetwork(nn.Module):
    """A backbone and a head: pictures (n, channels, h, w) in levels 0-255 → logits (n, classes)."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.backbone.maps(pictures))
        return logits


def linear_head(features: int, classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Return a head of one layer on the pooled maps (n, features, h, w)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(features, classes))


def vggface2_head(classes: int, features: int = 1792) -> nn.Sequential:
    """Return the head of the recipe `vggface2-three` on maps (n, features, h, w).

    A 1x1 convolution to 300 channels, pooling, and linear layers 300 → 150 → 30 → classes. Batch norm follows
    the convolution, since maps of a frozen backbone have whatever spread its own task has given them; a ReLU
    stands between layers, which would be a single linear one without it.
    """
    return nn.Sequential(
        nn.Conv2d(features, 300, 1, bias=False),
        nn.BatchNorm2d(300),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(300, 150),
        nn.ReLU(inplace=True),
        nn.Linear(150, 30),
        nn.ReLU(inplace=True),
        nn.Linear(30, classes),
    )
