"""What all plots share: canvas, colours, the look of a panel, the file."""

import io
import os
from typing import TYPE_CHECKING

from roijax import files
from roijax.errors import RoijaxError

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart.
BLUE = "#0072B2"
COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def make_figure(width: float, height: float) -> "Figure":
  """Makes an empty figure, in inches.

  Raises:
    RoijaxError: matplotlib is not installed.
  """
  try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
  except ImportError as error:
    raise RoijaxError(
      "plots need matplotlib: pip install 'roijax[train]'"
    ) from error
  figure = Figure(figsize=(width, height))
  # Room around the panels, in inches.
  figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
  FigureCanvasAgg(figure)
  return figure


def dress(axes: "Axes", title: str, unit: str = "") -> None:
  """Gives a panel its title, the name of its y axis and a quiet look."""
  axes.set_title(title, fontsize=10, loc="left")
  axes.set_ylabel(unit)
  axes.grid(color="0.9")
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)


def write_note(axes: "Axes", text: str) -> None:
  """Says in the middle of a panel why it is empty."""
  axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color="0.5")


def write_figure(path: str | os.PathLike, figure: "Figure") -> None:
  """Writes a figure as PNG.

  Raises:
    RoijaxError: the file cannot be written.
  """
  buffer = io.BytesIO()
  figure.savefig(buffer, format="png", dpi=130)
  files.write_whole(path, buffer.getvalue())
