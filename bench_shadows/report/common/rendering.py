"""What every page is rendered with: the template environment, its filters, and figures drawn into a folder."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from markupsafe import Markup, escape

from bench_shadows.files import atomic_path
from bench_shadows.report.common import style
from bench_shadows.report.common.estimates import MISSING, write_number
from bench_shadows.report.common.picture import Picture
from bench_shadows.report.common.tables import Table


@dataclasses.dataclass(frozen=True)
class Placed:
    """A figure as the page shows it; `width` and `height` in pixels, 0 where it could not be drawn."""

    picture: Picture
    width: int = 0
    height: int = 0


Subject = TypeVar("Subject")


def write_page(
    folder: Path,
    subject: Subject,
    pictures: Iterable[Picture],
    tables: Mapping[str, Table],
    render: Callable[[Subject, Mapping[str, Placed], Mapping[str, Table]], str],
) -> Path:
    """Writes a page's folder: index.html, figures/*.png and *.pdf, tables/*.csv; returns index.html.

    The folder appears whole or stays as it was. Tables without rows have no file.
    """
    with atomic_path(folder) as made:
        for name in ("figures", "tables"):
            (made / name).mkdir(parents=True)
        placed = place_figures(pictures, subject, made / "figures")
        for table in tables.values():
            if table.rows:
                (made / "tables" / f"{table.name}.csv").write_text(table.to_csv(), encoding="utf-8")
        (made / "index.html").write_text(render(subject, placed, tables), encoding="utf-8")
    return folder / "index.html"


def place_figures(pictures: Iterable[Picture], subject: Any, folder: Path) -> dict[str, Placed]:
    """Draws every picture of `subject` that can be drawn as PNG and PDF into `folder`; name -> Placed."""
    placed = {}
    with style.styled():
        for picture in pictures:
            figure = picture.draw(subject)
            if figure is None:
                placed[picture.name] = Placed(picture)
                continue
            style.save(figure, folder, picture.name)
            width, height = figure.get_size_inches() * figure.get_dpi()
            placed[picture.name] = Placed(picture, int(width), int(height))
    return placed


def environment() -> jinja2.Environment:
    """The templates, for one page: everything from outside is escaped, an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown: set[str] = set()

    def first_time(name: str) -> bool:
        """Whether a figure has not been on the page yet: a second place links to it."""
        first = name not in shown
        shown.add(name)
        return first

    made.globals["first_time"] = first_time
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.filters |= {"number": write_number, "cell": _cell, "plain": _plain, "unbroken": _unbroken}
    return made


def render_template(template: str, /, **context: Any) -> str:
    """A template as HTML, with the conditions' names and the sign for what is missing besides its context."""
    return environment().get_template(template).render(names=style.NAMES, missing=MISSING, **context)


def _cell(value: Any, digits: int | None = None, signed: bool = False) -> Markup:
    """A table's cell: the number, its interval in small type."""
    number, plus_minus, half = write_number(value, digits, signed).partition(" ± ")
    return escape(number) + (Markup(' <small class="pm">± {}</small>').format(half) if plus_minus else "")


def _unbroken(sentence: str) -> str:
    """A sentence whose figures stay with their units."""
    return sentence.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")


def _plain(value: Any) -> str:
    """A setting or a count as text: whole numbers with thousands separated, others as JSON would write them."""
    if isinstance(value, bool | None):
        return write_number(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
