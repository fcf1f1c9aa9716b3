"""Where a region of interest comes from: one file a source.

`parse_roi` turns what a user writes after `--roi` into a map, `unite` several.
"""

from roijax.roi.spec import parse_roi, unite

__all__ = ["parse_roi", "unite"]
