"""Analysis and synthesis transforms, each a plug-in."""
