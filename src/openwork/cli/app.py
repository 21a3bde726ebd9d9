"""The `openwork` command: its subcommands, and how errors are shown in the terminal."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from openwork.cli.bench import bench
from openwork.cli.compact import compact
from openwork.cli.compile import compile, quantize
from openwork.cli.demo import demo
from openwork.cli.env import cache, env
from openwork.cli.evaluate import evaluate
from openwork.cli.info import info, preview, report
from openwork.cli.observe import observe, sensitivity
from openwork.cli.predict import predict
from openwork.cli.prune import prune
from openwork.cli.say import say, say_error
from openwork.cli.train import train
from openwork.errors import OpenworkError

_GOES_ON = {
    "train": "; resume the run from its last epoch with --resume",
    "demo": "; run the same command again to resume",
    "prune": "; run the same command again to resume",
    "sensitivity": "; run the same command again to resume",
}


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; on Ctrl-C print a line and exit with status 130."""
        try:
            return super().invoke(ctx)
        # Caught here, because typer would turn it into a silent exit.
        except KeyboardInterrupt as error:
            if os.environ.get("RANK", "0") == "0":
                say(f"stopped{_GOES_ON.get(ctx.invoked_subcommand or '', '')}", error=True)
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_Commands,
    help="Convolutional networks that are mostly openings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command("eval")(evaluate)
app.command()(info)
app.command()(preview)
app.command()(prune)
app.command()(observe)
app.command()(sensitivity)
app.command()(compact)
app.command()(bench)
app.command()(report)
app.command()(compile)
app.command()(quantize)
app.command()(predict)
app.command()(cache)
app.command()(env)
app.command()(demo)


def main() -> None:
    """Run the command line; exit with status 1 on an `OpenworkError`."""
    try:
        app()
    except OpenworkError as error:
        say_error(error)
        sys.exit(1)
