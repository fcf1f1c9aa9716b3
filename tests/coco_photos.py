"""A tiny set of annotated photos in COCO's own layout."""

import json
import pathlib

import numpy as np
from PIL import Image

SIZE = (72, 96)
# Left, top, width, height of each photo's object.
BOXES = {
  "a.png": (10, 8, 30, 40),
  "b.png": (50, 20, 36, 36),
  "c.png": (4, 30, 60, 20),
  "empty.png": None,
}


def draw(box, seed=0, size=SIZE):
  """A reddish rectangle on a grey, grainy ground."""
  rng = np.random.default_rng(seed)
  image = rng.integers(60, 90, (*size, 3), dtype=np.uint8)
  if box is not None:
    x, y, width, height = box
    image[y : y + height, x : x + width] = 215, 40, 50
  return image


def annotate(boxes=None, category=1, **more):
  """The content of an annotations file."""
  boxes = BOXES if boxes is None else boxes
  images, objects = [], []
  for number, (name, box) in enumerate(boxes.items(), 1):
    entry = {"id": number, "file_name": name}
    entry |= {"height": SIZE[0], "width": SIZE[1]} | more
    images.append(entry)
    if box is None:
      continue
    x, y, w, h = box
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    objects.append(
      {
        # 0 is an id like any other.
        "id": len(objects),
        "image_id": number,
        "category_id": category,
        "bbox": list(box),
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [outline],
      }
    )
  categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
  return {"images": images, "annotations": objects, "categories": categories}


def write(folder, content=None) -> tuple[pathlib.Path, pathlib.Path]:
  """Writes `val2017/` and `annotations/instances_val2017.json`."""
  photos = pathlib.Path(folder) / "val2017"
  photos.mkdir(parents=True)
  for seed, (name, box) in enumerate(BOXES.items()):
    Image.fromarray(draw(box, seed)).save(photos / name)
  path = pathlib.Path(folder) / "annotations" / "instances_val2017.json"
  path.parent.mkdir()
  path.write_text(json.dumps(content or annotate()))
  return photos, path
