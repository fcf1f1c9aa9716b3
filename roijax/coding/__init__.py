"""From integers to bytes and back: grid, tables, range coder, container.

NumPy, SciPy and constriction only: a `.roij` file's integers decode without
JAX.
"""
