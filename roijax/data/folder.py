"""A folder of photos without annotations."""

import os
import pathlib

from roijax.data import images
from roijax.data.photo import Photo
from roijax.errors import DataError


class FolderSource:
  """Every photo below a folder, in the order of its path.

  Hidden files and folders are passed over. A photo is decoded when it is asked
  for, so an unreadable one raises `DataError` then, not here.

  Args:
    folder: searched recursively for the suffixes of `images.SUFFIXES`.

  Raises:
    DataError: the folder is missing or holds no photo.
  """

  def __init__(self, folder: str | os.PathLike):
    folder = pathlib.Path(folder)
    if not folder.is_dir():
      raise DataError(f"no such folder of photos: {folder}")
    self.paths = sorted(
      path
      for path in folder.rglob("*")
      if path.suffix.lower() in images.SUFFIXES
      and not any(p.startswith(".") for p in path.relative_to(folder).parts)
      and path.is_file()
    )
    if not self.paths:
      raise DataError(
        f"no photos in {folder}: it holds no {', '.join(images.SUFFIXES)}"
      )
    self.folder = folder
    self.name = f"folder:{folder.resolve().name}"

  def __len__(self) -> int:
    """Returns the number of photos."""
    return len(self.paths)

  def __getitem__(self, index: int) -> Photo:
    """Reads one photo; its `roi` is None, for nobody annotated it."""
    path = self.paths[index]
    return {
      "image": images.read_image(path),
      "roi": None,
      "name": path.relative_to(self.folder).as_posix(),
    }

  def list_names(self) -> list[str]:
    """Every photo's name, in order."""
    return [path.relative_to(self.folder).as_posix() for path in self.paths]
