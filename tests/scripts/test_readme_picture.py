"""The README's picture: one image of a run that reads alike on light and dark pages."""

import runpy
from pathlib import Path

import matplotlib.image
from fake_run import small_config, write_run

SCRIPT = Path(__file__).parents[2] / "scripts" / "readme_picture.py"
write_picture = runpy.run_path(str(SCRIPT))["write_picture"]


def test_the_picture_is_opaque_with_round_corners_and_follows_from_the_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", small_config(seeds=(0, 1, 2)))
    for name in ("one.png", "two.png"):
        write_picture(run, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 400_000
    pixels = matplotlib.image.imread(tmp_path / "one.png")
    opacity = pixels[..., 3]
    assert pixels.shape[1] > 1500
    assert opacity[0, 0] == 0
    assert (opacity[20:-20, 20:-20] == 1).all()


def test_a_run_that_has_only_begun_has_a_picture(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", small_config(("A", "C")))
    for name in ("diagnostics.parquet", "changes.parquet", "evaluation.parquet"):
        (run / name).unlink()
    write_picture(run, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
