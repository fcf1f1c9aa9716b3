"""Files are written whole, or not at all."""

import os
import pathlib
import tempfile

from roijax.errors import RoijaxError


def explain(error: OSError) -> str:
  """Why a file or folder could not be written, for the user."""
  if isinstance(error, FileExistsError | NotADirectoryError):
    return f"{error.filename} is a file, not a folder"
  return error.strerror or str(error)


def write_whole(path: str | os.PathLike, data: bytes) -> None:
  """Writes `data` to `path` through a temporary file beside it.

  A reader sees the old file or the new one, never a part. The folder is made
  when it is missing.

  Args:
    path: where the file goes.
    data: its whole content.

  Raises:
    RoijaxError: no permission, no space left, or `path` is a folder.
  """
  path = pathlib.Path(path)
  temporary = None
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
      dir=path.parent, prefix=f".{path.name[:64]}."
    )
    with os.fdopen(handle, "wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    # mkstemp makes private files; the result follows the user's umask.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)
    os.replace(temporary, path)
  except BaseException as error:
    # An interrupt too leaves nothing behind.
    if temporary is not None:
      pathlib.Path(temporary).unlink(missing_ok=True)
    if not isinstance(error, OSError):
      raise
    raise RoijaxError(f"cannot write {path}: {explain(error)}") from error
