"""Small networks with every way in which channels pass from layer to layer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from parts import known, tensor
from torch import nn

ACTIVATIONS = (nn.ReLU, nn.SiLU, nn.Hardswish, nn.GELU, nn.LeakyReLU, nn.Sigmoid, nn.ReLU6)


class Unit(nn.Module):
    """Convolution, batch norm, activation."""

    def __init__(self, inside: int, out: int, draw: torch.Generator, groups: int = 1) -> None:
        super().__init__()
        kernel, padding, stride = _pick(
            draw, ((1, 0, 1), (3, 1, 1), (3, 0, 1), (3, 1, 2), (1, 1, 1))
        )
        bias = bool(_pick(draw, (0, 1)))
        self.conv = nn.Conv2d(inside, out, kernel, stride, padding, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(out)
        self.act = nn.PReLU(out) if _pick(draw, range(5)) == 0 else _pick(draw, ACTIVATIONS)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(width, 6, 1), nn.Conv2d(6, width, 3, padding=1)
        self.norm, self.after = nn.BatchNorm2d(6), nn.BatchNorm2d(width)
        self.scale = nn.Parameter(torch.rand(width, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * self.after(self.two(F.relu(self.norm(self.one(x)))))


class Gate(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, 3, 1), nn.Conv2d(3, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Dense(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.conv(F.silu(self.norm(x)))], dim=1)


class Shuffle(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return self.conv(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


class Split(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width // 2, width // 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = x.chunk(2, dim=1)
        return torch.cat([self.conv(one), two], dim=1)


class Depthwise(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.hardswish(self.norm(self.conv(x)))


class Grouped(Unit):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__(width, width, draw, groups=2)


class Bordered(nn.Module):
    """Zeros or means around the border, so that constants differ there."""

    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)
        self.pool = bool(_pick(draw, (0, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(x, 3, 1, 1) if self.pool else F.pad(x, (1, 0, 0, 2))
        return self.conv(x)


class Up(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(width, width, 3, 2, padding=1, groups=_pick(draw, (1, 2)))
        self.mode = _pick(draw, ("nearest", "bilinear"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(self.conv(F.interpolate(x, scale_factor=2, mode=self.mode)), 2)


class Pixels(nn.Module):
    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(width, 4 * width, 1), nn.Conv2d(width, width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(F.relu(F.pixel_shuffle(self.wide(x), 2)))


class Head(nn.Module):
    """Flattened feature maps, then linear layers."""

    def __init__(self, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.side = _pick(draw, (1, 2))
        self.hidden = nn.Linear(width * self.side**2, 8)
        self.norm, self.last = nn.BatchNorm1d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.adaptive_avg_pool2d(x, self.side).flatten(1)
        return self.last(F.relu(self.norm(self.hidden(x))))


KINDS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(Residual, Gate, Dense, Shuffle, Split, Depthwise, Grouped, Bordered, Up, Pixels),
        Unit,
    )
}


def network(kinds: Sequence[str], seed: int) -> nn.Sequential:
    """A network of these parts in evaluation mode; some of its channels are dead or constant."""
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = 8
        layers: list[nn.Module] = [Unit(3, width, draw)]
        for kind in kinds:
            part = Unit(width, 8, draw) if kind == "Unit" else KINDS[kind](width, draw)
            layers.append(part)
            width = 8 if kind == "Unit" else width + 4 * (kind == "Dense")
        model = nn.Sequential(*layers, Head(width, draw)).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                _kill(module, draw)
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and _pick(draw, range(3)) == 0:
                # Channels that nothing reads are dead, too.
                module.weight.data[:, torch.rand(module.weight.shape[1], generator=draw) < 0.4] = 0
    return model


@torch.no_grad()
def _kill(norm: nn.BatchNorm2d | nn.BatchNorm1d, draw: torch.Generator) -> None:
    count = norm.num_features
    for numbers, low in ((norm.running_mean, -0.5), (norm.running_var, 0.5), (norm.bias, -0.5)):
        if numbers is not None:
            numbers.copy_(low + torch.rand(count, generator=draw))
    norm.weight.copy_(0.5 + torch.rand(count, generator=draw))
    kind = torch.rand(count, generator=draw)
    norm.weight[kind < 0.4] = 0
    norm.bias[kind < 0.2] = 0


def _pick(draw: torch.Generator, choices: Sequence) -> Any:
    return choices[int(torch.randint(len(choices), (), generator=draw))]


class Around(nn.Module):
    """Eight channels, of which the first three are `constant`; `body`; a convolution; `end`."""

    def __init__(
        self,
        body: Callable[[torch.Tensor], torch.Tensor] = F.relu,
        end: Callable[[torch.Tensor], Any] = torch.clone,
        constant: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head, self.body, self.end = nn.Conv2d(8, 4, 1), body, end
        with torch.no_grad():
            self.norm.weight[:3], self.norm.bias[:3] = 0, constant

    def forward(self, x: torch.Tensor) -> Any:
        return self.end(self.head(self.body(self.norm(self.conv(x)))))


class Probe(nn.Module):
    """Four channels, unknown, 0, 0.5 and -0.5, then `body`."""

    def __init__(self, body: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.body = nn.Conv2d(2, 4, 1), body
        with torch.no_grad():
            self.first.weight[1:] = 0
            known(self.first.bias).copy_(torch.tensor([0.1, 0, 0.5, -0.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.first(x))


class Applied(nn.Module):
    """A layer whose first channel is zero, and a function of its output."""

    def __init__(self, layer: nn.Module, after: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.after = layer, after
        nn.init.constant_(tensor(layer, "weight"), 0.5)
        nn.init.zeros_(tensor(layer, "weight")[:1])
        nn.init.zeros_(tensor(layer, "bias"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.layer(x))


class Mixed(nn.Module):
    """Activations as modules and functions, in place and not; a sum; a layer without batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv3, self.head = nn.Conv2d(4, 3, 1), nn.Linear(3, 2)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(x))
        y += x
        return self.head(F.relu(self.conv3(F.relu(y))).mean((2, 3)))


@torch.no_grad()
def mixed() -> Mixed:
    """Three of `bn1` and all of `bn2` are dead by scale or by activation; see `Mixed`."""
    torch.manual_seed(0)
    model = Mixed()
    model.bn1.weight[0], model.bn1.bias[0] = 0, -1
    model.bn1.weight[1], model.bn1.bias[1] = 0, 1
    model.bn1.weight[2], model.bn1.bias[2] = 1, -1000
    model.bn2.weight.zero_()
    return model


class Plain(nn.Module):
    """Three of eight channels are dead."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 4, 1)
        nn.init.zeros_(self.norm.weight.data[:3])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.stem(x))))
