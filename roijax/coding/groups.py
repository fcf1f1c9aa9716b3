"""How the latents of a large photo fall into groups that decode alone.

A cell is 64x64 pixels: one position of z, 4x4 of y. A photo of more than
`GROUP_CELLS` cells on a side is cut into the fewest groups that are not
larger, as equal as whole cells allow. Context and hyper-networks of a group
see nothing of the others, and each group has a stream of its own.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

CELL = 64
GROUP_CELLS = 16

CANVASES = (
  (2, 2),
  (4, 4),
  (8, 8),
  (8, 12),
  (12, 8),
  (8, 16),
  (16, 8),
  (12, 12),
  (16, 16),
)
"""Sizes, in cells, at which networks run: few, so that few are compiled."""


class Group(NamedTuple):
  """A rectangle of cells.

  Attributes:
    row: its first row of cells.
    column: its first column.
    rows: how many.
    columns: how many.
  """

  row: int
  column: int
  rows: int
  columns: int

  @property
  def cells(self) -> tuple[slice, slice]:
    """Its place in the photo's cells."""
    return (
      slice(self.row, self.row + self.rows),
      slice(self.column, self.column + self.columns),
    )


def count_cells(side: int) -> int:
  """Cells that a side of so many pixels takes, the last one maybe in part."""
  return -(-side // CELL)


def _cut(side: int) -> list[tuple[int, int]]:
  """(first cell, cells) of each part of a side."""
  cells = count_cells(side)
  parts = -(-cells // GROUP_CELLS)
  ends = [i * cells // parts for i in range(parts + 1)]
  return [(begin, end - begin) for begin, end in itertools.pairwise(ends)]


def split_groups(height: int, width: int) -> Iterator[Group]:
  """The groups of a photo, row by row.

  Args:
    height: of the photo in pixels.
    width: likewise.
  """
  across = _cut(width)
  for row, rows in _cut(height):
    for column, columns in across:
      yield Group(row, column, rows, columns)


def count_groups(height: int, width: int) -> int:
  """How many groups, and so streams, a photo of so many pixels has."""
  rows, columns = (
    -(-count_cells(side) // GROUP_CELLS) for side in (height, width)
  )
  return rows * columns


def pick_canvas(rows: int, columns: int) -> tuple[int, int]:
  """The first of `CANVASES`, which ascend in area, that holds a rectangle.

  Args:
    rows: of cells, at most `GROUP_CELLS`.
    columns: likewise.
  """
  return next(
    canvas for canvas in CANVASES if canvas[0] >= rows and canvas[1] >= columns
  )
