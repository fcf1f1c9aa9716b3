"""Where a region of interest comes from: one file a source.

`parse_roi` turns what a user writes after `--roi` into a map.
"""

from roijax.roi.spec import parse_roi

__all__ = ["parse_roi"]
