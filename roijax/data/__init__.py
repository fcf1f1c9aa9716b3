"""Photos with regions of interest: where they come from, and batches of them.

`sources.open_source` opens photos by a short spec; `pipeline` turns a source
into an endless, resumable stream of training batches.
"""
