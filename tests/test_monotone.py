"""What `benchmarks.monotone` counts."""

import numpy as np

from benchmarks.monotone import find_falls, print_table


def test_equal_and_falling_steps_are_found_and_growing_ones_are_not():
  figures = np.array([[1.0, 2.0, 2.0], [5.0, 4.0, 9.0]])
  np.testing.assert_array_equal(find_falls(figures), [0, -1])


def test_the_table_counts_what_falls_and_names_the_worst(capsys):
  sweeps = {"bytes": np.array([[3.0, 1.0, 4.0]]), "PSNR": np.array([[1.0, 2]])}
  assert print_table(sweeps, 1) == 1
  rows = capsys.readouterr().out.splitlines()
  bytes_row, psnr_row = (
    next(row for row in rows if name in row).split("│")[2:5]
    for name in ("bytes", "PSNR")
  )
  assert [cell.strip() for cell in bytes_row] == ["2", "1", "-2"]
  assert [cell.strip() for cell in psnr_row] == ["1", "0", ""]
