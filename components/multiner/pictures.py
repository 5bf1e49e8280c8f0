"""What all pictures share: how they look and how they are written.

Colours are Okabe and Ito's, which colour-blind people can tell apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .files import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
INK, FAINT = "#222222", "#d9d9d9"
DOTS_PER_INCH = 160
SETTINGS: dict[Any, Any] = {"font.size": 10.5, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK}


class PicturesNeedMatplotlib(UserError, ImportError):
    """matplotlib is not installed; the message says how to install it."""


def check_matplotlib() -> None:
    """Make sure that pictures can be drawn, before anything slow starts.

    RAISES: PicturesNeedMatplotlib.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise PicturesNeedMatplotlib(
            'Pictures need matplotlib; install it with: pip install -c constraints.txt -e ".[report]"'
        ) from error


@contextmanager
def drawing() -> Iterator[None]:
    """A context in which figures look as all pictures do.

    RAISES: PicturesNeedMatplotlib.
    """
    check_matplotlib()
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        yield


def write_png(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG file."""
    with new_file(path) as unfinished:
        unfinished.write_bytes(png(figure))


def png(figure: "Figure") -> bytes:
    """A figure as a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    return file.getvalue()
