"""The code for symbols outside a table: an exponential Golomb code.

A table covers the integers `first ... last`; its extra last entry, the escape,
says that the symbol lies outside. Then follow a sign (one bit: 1 is above) and
the excess, the distance beyond the nearest covered integer less one, as
`excess + 2**order` in Elias-gamma style: its class (the number of binary
digits beyond `order + 1`) and the class + order digits after the leading one.
Classes have geometric probabilities, so a class costs about class + 1 bits;
digits cost one bit each. The order grows with the table: wide tables are cut
off at a cap, and what lies beyond is far.

Source: Teuhola, "A compression method for clustered bit-vectors", 1978.
"""

import numpy as np

CLASSES = 33
"""Enough classes for any distance between two int32 numbers at order 0."""


def escape_order(sizes: np.ndarray) -> np.ndarray:
  """The order of the exponential Golomb code that belongs to a table.

  Args:
    sizes: integers, number of entries of each table with the escape, >= 2.

  Returns:
    int64 array of the same shape, >= 0: the number of binary digits of the
    size, less four.
  """
  return np.maximum(_digits(sizes) - 4, 0)


def split_excess(
  excess: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Splits excesses into classes and the digits after the leading one.

  Args:
    excess: integers in [0, 2**32), any shape.
    order: orders of the code, same shape.

  Returns:
    classes in [0, CLASSES) and digits in [0, 2**(classes + order)), int64.
  """
  excess = np.asarray(excess, np.int64)
  value = excess + (np.int64(1) << order)
  classes = _digits(value) - 1 - order
  return classes, value - (np.int64(1) << (classes + order))


def join_excess(
  classes: np.ndarray, digits: np.ndarray, order: np.ndarray
) -> np.ndarray:
  """The inverse of `split_excess`; int64 arrays of one shape."""
  leading = np.int64(1) << (np.asarray(classes, np.int64) + order)
  return leading + digits - (np.int64(1) << order)


def escape_bits(
  excess: np.ndarray, order: np.ndarray, class_bits: np.ndarray
) -> np.ndarray:
  """What the sign and the excess cost, without the escape entry itself.

  Args:
    excess: integers in [0, 2**32), any shape.
    order: orders of the code, same shape.
    class_bits: float64 [CLASSES], what each class costs in bits.

  Returns:
    float64 array of the same shape, bits.
  """
  classes, _ = split_excess(excess, order)
  return 1.0 + class_bits[classes] + classes + order


def _digits(values: np.ndarray) -> np.ndarray:
  """Number of binary digits of positive integers below 2**53, exactly."""
  return np.frexp(np.asarray(values, np.float64))[1].astype(np.int64)
