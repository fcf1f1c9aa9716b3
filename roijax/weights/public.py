"""Words for what is published: private paths become capitals."""

import pathlib


def publish_path(text: str) -> str:
  """A path without the machine it was on: `/home/me/kodak` becomes `KODAK`.

  Relative paths, which mean the same to everyone, stay, and what lies among the
  shipped weights gets one.
  """
  path = pathlib.Path(text)
  if path.parts[-3:-1] == ("roijax", "weights"):
    return "/".join(path.parts[-3:])
  if path.is_absolute() or text.startswith(("~", "..")):
    return path.name.upper()
  return text


def publish_spec(spec: str) -> str:
  """A spec of photos or of a region, with its paths published.

  Args:
    spec: such as `coco_roi:train+folder:/data/photos[:20]` or `center`.
  """
  return "+".join(map(_publish_part, spec.split("+")))


def _publish_part(part: str) -> str:
  kind, colon, path = part.rpartition(":")
  # A slice or a category may follow, and may hold a colon of its own.
  if "[" in kind:
    before, bracket, after = part.partition("[")
    return _publish_part(before) + bracket + after
  path, mark, category = path.partition("#")
  return kind + colon + publish_path(path) + mark + category
