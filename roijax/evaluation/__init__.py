"""Rate and distortion of real files: runs, rivals at equal bytes, reports.

`run.evaluate_checkpoint` does it all: it opens photos and a checkpoint, codes
every photo at every quality, decodes from the bytes, measures, and writes the
tables and the plot.
"""
