"""Evaluates weights on photos with real files: `roijax eval`, from a clone.

  python eval.py --checkpoint=runs/sample --data=sample:val
  python eval.py --checkpoint=runs/small --data=coco_roi:val \\
    --data_dir=data_dir --limit=100 --anchors=uniform,jpeg,avif
  python eval.py --checkpoint=runs/small --data=photos/kodak --roi=center

Writes results.json, results.csv (one line a photo, codec and quality) and
rd.png to --out, and prints the means.
"""

import sys

from roijax.cli import main

if __name__ == "__main__":
  main(["eval", *sys.argv[1:]])
