"""The profile of a training step finds where operations come from."""

from benchmarks.peers.profile import read_origins

PROGRAM = """
%inside.1 (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %add.1 = f32[2]{0} add(%p, %p), metadata={op_name="jit(f)/jvp(A)/add"}
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0), metadata={op_name="x"}
  %fusion.1 = f32[2]{0} fusion(%x), kind=kLoop, calls=%inside.1
  %mul.1 = f32[2]{0} multiply(%x, %x), metadata={op_name="transpose(B)/mul"}
  %copy.1 = f32[2]{0} copy(%mul.1)
  %conv.1 = f32[2]{0} convolution(%fusion.1, %copy.1), window={size=1}
  %while.1 = f32[2]{0} while(%conv.1), condition=%c, body=%b
  ROOT %iota.1 = f32[2]{0} iota()
}
"""


def test_operations_without_a_name_take_that_of_what_they_read():
  origins = read_origins(PROGRAM)
  assert origins["fusion.1"] == "jit(f)/jvp(A)/add"
  assert origins["copy.1"] == "transpose(B)/mul"
  # A weight's gradient is of the module whose gradient it reads.
  assert origins["conv.1"] == "transpose(B)/mul"
  assert origins["iota.1"] == ""
  assert "while.1" not in origins
