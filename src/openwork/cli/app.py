"""The `openwork` command: its subcommands, and how errors reach the person at the terminal."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from openwork.cli.bench import bench
from openwork.cli.compact import compact
from openwork.cli.compile import compile
from openwork.cli.demo import demo
from openwork.cli.env import env
from openwork.cli.evaluate import evaluate
from openwork.cli.observe import observe
from openwork.cli.preview import preview
from openwork.cli.prune import prune
from openwork.cli.train import train
from openwork.errors import OpenworkError

app = typer.Typer(
    help="Convolutional networks that are mostly openings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command("eval")(evaluate)
app.command()(preview)
app.command()(prune)
app.command()(observe)
app.command()(compact)
app.command()(bench)
app.command()(compile)
app.command()(env)
app.command()(demo)


def main() -> None:
    """Run the command line; exit status 1 for errors on purpose, 130 when stopped by hand."""
    try:
        app()
    except OpenworkError as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; a run goes on from its last epoch with --resume")
        sys.exit(130)
