"""`openwork eval`."""

from rich.console import Console

from openwork import io
from openwork.cli import options
from openwork.cli.trained import trained
from openwork.nn import Table
from openwork.nn.cost import live_weights
from openwork.train import evaluate as evaluate_model


def evaluate(
    run: options.Run,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
) -> None:
    """Measure the test accuracy and count the live weights of a trained network."""
    network = trained(run, data, data_root)
    model = io.load(network.path, device=device)
    result = evaluate_model(model, network.dataset)
    rows = (
        ("model", network.source.name),
        ("data", f"{network.dataset.name}, {result.count:,} test images"),
        ("test accuracy", f"{result.accuracy:.2%}"),
        ("test loss", f"{result.loss:.4f}"),
        ("live parameters", f"{live_weights(model):,}"),
        ("checkpoint", f"{network.path.stat().st_size / 1e3:,.0f} KB"),
    )
    Table(("what", "measured"), rows, justify="left").print(Console())
