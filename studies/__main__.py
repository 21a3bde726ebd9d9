"""Run a study, or draw the page, its tables and its pictures from the rows there are.

    python -m studies NAME [--scale smoke|cpu|paper] [--budget HOURS] [--only ...] [--ray ADDRESS]
    python -m studies report

A study that is stopped in any way continues where it was when the command is given again.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _grid import FOLDER, SCALES, run_study
from _page import STUDIES, write


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 if everything asked for is done, 3 if the budget ended before."""
    parser = argparse.ArgumentParser(
        prog="python -m studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=(*STUDIES, "all", "report"))
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--budget", type=float, default=float("inf"), help="hours")
    parser.add_argument("--rows", type=Path, default=FOLDER / "rows", help="folder of the rows")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        metavar="SETTING=VALUE",
        help="run only the cells with these settings, such as seed=0",
    )
    parser.add_argument("--ray", help="cluster to share the cells over: local, auto or HOST:PORT")
    asked = parser.parse_args(arguments)
    if asked.name == "report":
        write(asked.rows)
        return 0
    names = STUDIES if asked.name == "all" else [asked.name]
    work = asked.rows / "unfinished"
    done = [
        run_study(
            STUDIES[name].STUDY,
            asked.scale,
            hours=asked.budget,
            rows=asked.rows,
            work=work,
            ray=asked.ray,
            only=dict(pair.split("=", 1) for pair in asked.only),
        )
        for name in names
    ]
    return 0 if all(done) else 3


if __name__ == "__main__":
    sys.exit(main())
