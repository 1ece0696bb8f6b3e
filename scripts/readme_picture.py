"""Draws the picture of a finished run that the README shows.

python scripts/readme_picture.py results/laptop picture.png
"""

import argparse
from pathlib import Path

from bench_shadows.report.conditions.readme_picture import write_picture


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a study's run")
    parser.add_argument("out", type=Path, help="the PNG")
    words = parser.parse_args()
    write_picture(words.run, words.out)


if __name__ == "__main__":
    main()
