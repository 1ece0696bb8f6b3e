"""Where the looks of a monitor go: Weights & Biases, trackio, TensorBoard, clu.

Each function takes what the loop has opened already and gives what `Monitor(write=...)` takes; none imports the
library. A look is delivered some steps after the one that it belongs to, and several may come at once, so it is
logged with its own step:

    Monitor(every=20, write=to_wandb(wandb.init(...)))
    Monitor(every=20, write=to_trackio(trackio.init(...)))
    Monitor(every=20, write=to_summary_writer(SummaryWriter(...)))   tensorboardX's or torch's
    Monitor(every=20, write=to_clu(writer))                          a clu.metric_writers.MetricWriter

A warning is told once, when it appears; its flag is a scalar of every look.
"""

from collections.abc import Callable, Iterator
from typing import Any

from bench_shadows.diagnostics.looks import Look
from bench_shadows.diagnostics.signatures import Finding

Write = Callable[[Look], None]


def to_wandb(run: Any) -> Write:
    """Writes looks to a run of Weights & Biases, against `monitor/step`; warnings are alerts.

    W&B drops what is logged with a smaller `step=` than the last, and so nearly all looks of a fast loop. These
    are logged without, against a metric of their own. Each takes the next of W&B's own steps: the loop's metrics
    should be logged without `step=`, too (`run.log({"train/step": step, "train/loss": loss})`, and `define_metric`
    for `train/*`), or W&B drops those that come after several looks at once.

    Args:
      run: what `wandb.init` returned.
    """
    run.define_metric("monitor/step", hidden=True)
    run.define_metric("monitor/*", step_metric="monitor/step")
    new = _new_warnings()

    def write(look: Look) -> None:
        run.log({"monitor/step": look.step, **look.scalars()})
        for finding in new(look):
            run.alert(title=f"monitor: {finding.signature}", text=f"step {look.step}: {finding.text}")

    return write


def to_trackio(run: Any) -> Write:
    """Writes looks to a run of trackio, which keeps the steps that it is given in any order; warnings are alerts.

    Args:
      run: what `trackio.init` returned.
    """
    new = _new_warnings()

    def write(look: Look) -> None:
        run.log(look.scalars(), step=look.step)
        for finding in new(look):
            run.alert(title=f"monitor: {finding.signature}", text=finding.text, step=look.step)

    return write


def to_summary_writer(writer: Any) -> Write:
    """Writes looks as TensorBoard's scalars, and warnings as its text.

    Args:
      writer: `tensorboardX.SummaryWriter` or `torch.utils.tensorboard.SummaryWriter`.
    """
    new = _new_warnings()

    def write(look: Look) -> None:
        for name, value in look.scalars().items():
            writer.add_scalar(name, value, look.step)
        for finding in new(look):
            writer.add_text(f"monitor/{finding.signature}", finding.text, look.step)

    return write


def to_clu(writer: Any) -> Write:
    """Writes looks through clu, which needs TensorFlow for it; warnings are texts.

    Args:
      writer: a `clu.metric_writers.MetricWriter`.
    """
    new = _new_warnings()

    def write(look: Look) -> None:
        writer.write_scalars(look.step, look.scalars())
        if texts := {f"monitor/{finding.signature}": finding.text for finding in new(look)}:
            writer.write_texts(look.step, texts)

    return write


def _new_warnings() -> Callable[[Look], Iterator[Finding]]:
    """Gives of each look the findings that the look before did not have."""
    shown: set[str] = set()

    def new(look: Look) -> Iterator[Finding]:
        before = set(shown)
        shown.clear()
        shown.update(finding.signature for finding in look.warnings)
        yield from (finding for finding in look.warnings if finding.signature not in before)

    return new
