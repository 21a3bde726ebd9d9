"""The initialisation that all models of this package share."""

from torch import nn


def initialise_(module: nn.Module) -> None:
    """Fill `module` in place: He-normal weights (fan-in, ReLU gain), zero biases, neutral BN.

    Convolutions and linear layers get weights from N(0, 2 / fan_in), drawn from torch's global
    generator, so `torch.manual_seed` before `build` fixes them. Batch norms get weight 1, bias 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
