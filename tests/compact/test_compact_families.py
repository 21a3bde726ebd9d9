"""`compact` on timm and torchvision, one network a family: outputs are kept."""

import pytest
import torch
from torch import nn

from openwork import models
from openwork.compact import compact
from openwork.errors import MissingPackageError
from openwork.models.zoo import import_zoo
from openwork.verify import difference

# The name, the side of an image, and a layer whose channels are coupled to no others.
QUICK = [
    ("timm:test_resnet", 32, "layer2.0.conv1"),
    ("timm:test_efficientnet", 32, "blocks.1.0.conv_exp"),
    ("timm:test_convnext", 32, "stages.1.blocks.0.mlp.fc1"),
    ("timm:test_nfnet", 32, None),
    ("timm:test_mambaout", 32, None),
    ("torchvision:squeezenet1_1", 48, "features.3.squeeze"),
    ("torchvision:shufflenet_v2_x0_5", 48, "conv5.0"),
    ("timm:mobilenetv3_small_050", 32, "blocks.1.0.conv_pw"),
    ("timm:lcnet_050", 32, None),
    ("timm:regnetx_002", 32, None),
    ("timm:resnet10t", 32, "layer2.0.conv1"),
]
SLOW = [
    ("timm:densenet", 48, "features.denseblock1.denselayer1.conv1"),
    ("timm:ghostnet_050", 48, "conv_head"),
    ("timm:hrnet_w18_small", 64, "layer1.0.conv1"),
    ("timm:res2net", 48, None),
    ("timm:dla46_c", 64, "level2.tree1.conv1"),
    ("timm:ese_vovnet19b_slim", 64, "stem.0.conv"),
    ("timm:repvgg_a0", 32, None),
    ("timm:cspdarknet53", 64, None),
    ("timm:dpn48b", 64, None),
    ("timm:seresnext26d_32x4d", 48, "layer1.0.se.fc1"),
    ("torchvision:inception_v3", 96, "Mixed_5b.branch5x5_1.conv"),
    ("torchvision:googlenet", 64, "inception3a.branch2.0.conv"),
]


def _build(name: str) -> nn.Module:
    """The network; of families with many equal blocks, a member with few."""
    try:
        import_zoo(name.partition(":")[0])
    except MissingPackageError as error:
        pytest.skip(str(error))
    if name == "timm:densenet":
        from timm.models.densenet import DenseNet

        return DenseNet(block_config=(2, 2, 2, 2))
    if name == "timm:res2net":
        from timm.models.res2net import Bottle2neck
        from timm.models.resnet import ResNet

        scale = {"scale": 4}
        return ResNet(Bottle2neck, (1, 2, 1, 1), base_width=26, block_args=scale)  # type: ignore[arg-type]
    return models.build(name)


@torch.no_grad()
def _kill(model: nn.Module, first: str | None) -> None:
    """Zero a quarter of the filters of every convolution; in the layer `first`, the first ones."""
    draw = torch.Generator().manual_seed(0)
    layers = list(model.named_modules())
    for _, module in layers:
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                nn.init.uniform_(tensor, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for index, (name, module) in enumerate(layers):
        if name != first and not isinstance(module, nn.Conv2d):
            continue
        count: int = module.weight.shape[0]  # type: ignore[assignment,union-attr]
        dead = torch.randperm(count, generator=draw)[: count // 4]
        dead = torch.arange(count // 4) if name == first else dead
        after = layers[index + 1][1] if index + 1 < len(layers) else None
        held = [module.weight, module.bias]
        if isinstance(after, nn.BatchNorm2d) and after.num_features == count:
            held += [after.weight, after.bias]
        for tensor in held:
            if tensor is not None:
                tensor[dead] = 0  # type: ignore[index,operator]


# torchvision warns that its initialisation will change.
@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize(
    ("name", "side", "layer"),
    [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
    ids=[case[0] for case in [*QUICK, *SLOW]],
)
@torch.no_grad()
def test_a_family(name: str, side: int, layer: str | None) -> None:
    torch.manual_seed(0)
    model = _build(name).eval()
    _kill(model, layer)
    small, report = compact(model, torch.rand(1, 3, side, side))
    # In float64: some random networks amplify every rounding of float32.
    x = torch.rand(2, 3, side + 32, side + 32, dtype=torch.float64)
    assert difference(model.double()(x), small.double()(x)) <= 1e-6
    if layer is not None:
        before = model.get_parameter(f"{layer}.weight").shape[0]
        assert small.get_parameter(f"{layer}.weight").shape[0] <= before - before // 4
    assert report.parameters[1] <= report.parameters[0]
