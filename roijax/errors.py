"""Errors that are meant for the person at the keyboard.

Every `RoijaxError` carries one line that says what is wrong and what to do.
Command lines print that line and exit with code 2; nothing else is caught.
"""


class RoijaxError(Exception):
  """Something the user can mend; the message is one clear line."""


class BitstreamError(RoijaxError):
  """A file is not a `.roij` file, is damaged, or cannot be decoded here."""


class CheckpointError(RoijaxError):
  """A checkpoint or a weights file is missing, damaged or of another run."""


class ConfigError(RoijaxError):
  """A configuration asks for something that does not exist or cannot work."""


class DataError(RoijaxError):
  """A photo, a mask or a dataset is missing, unreadable or unfit."""


class NothingFoundError(DataError):
  """What was to find the region in a photo found nothing."""
