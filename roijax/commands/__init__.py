"""What the `roijax` command does, one command a file.

`inputs` finds what the words on the command line mean, `batch` walks it with
one process or several (`crew`), `engine` keeps loaded weights, `streams` knows
the standard input and output.
"""
