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
    """Test accuracy and live weights of a trained network."""
    found = trained(run, data, data_root)
    model = io.load(found.path, device=device)
    result = evaluate_model(model, found.dataset)
    rows = (
        ("model", found.source.name),
        ("data", f"{found.dataset.name}, {result.count:,} test images"),
        ("test accuracy", f"{result.accuracy:.2%}"),
        ("test loss", f"{result.loss:.4f}"),
        ("live parameters", f"{live_weights(model):,}"),
        ("checkpoint", f"{found.path.stat().st_size / 1e3:,.0f} KB"),
    )
    Table(("what", "measured"), rows, justify="left").print(Console())
