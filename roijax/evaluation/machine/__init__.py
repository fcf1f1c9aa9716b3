"""What machines still see in decoded photos: detection and segmentation.

`run.evaluate_checkpoint` does it all: it codes annotated photos with real
files, shows what they decode to, and the originals, to a detector, and scores
what it finds. `scenes` reads photos and annotations, `detections` says what a
detector is, `judges` makes one of a name or an ONNX file, `average_precision`
and `region_overlap` score.
"""
