import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

CONFIG = """
from ml_collections import config_dict

def get_config(variant="default"):
  if variant == "broken":
    raise ValueError("no variant 'broken':\\none of default, smoke")
  return config_dict.create(
    seed=0, data={}, train={"steps": 3}, eval={"data": "sample:val"}
  )
"""


def call(*arguments):
  return subprocess.run(
    [sys.executable, ROOT / "train.py", *arguments],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.parametrize(
  ("arguments", "line"),
  [
    (["--config.train.stepz=3"], '"steps" instead of "stepz"'),
    (["--config.trian.steps=3"], '"train" instead of "trian"'),
    (["--config.eval.data=sample:vall"], "vall"),
    (["--config.train.steps=many"], "invalid literal for int"),
    (["--workdirr=x"], "Unknown command line flag 'workdirr'"),
    (["more"], "unexpected argument 'more'"),
    (["--workdir="], "--config and --workdir are needed"),
    (["--config=none.py"], "there is no file none.py"),
    (["--config={config}:broken"], "no variant 'broken': one of default"),
  ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(tmp_path, arguments, line):
  config = tmp_path / "config.py"
  config.write_text(CONFIG)
  arguments = [word.format(config=config) for word in arguments]
  workdir = tmp_path / "run"
  done = call(f"--config={config}", f"--workdir={workdir}", *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert line in done.stderr
  assert done.stderr.count("\n") == 1
  assert done.stdout == ""
  assert not workdir.exists()


def test_help_says_how_to_start():
  done = call("--help")
  assert done.returncode == 0
  assert "--config=configs/ggm.py:sample" in done.stdout
  assert "--workdir" in done.stdout
