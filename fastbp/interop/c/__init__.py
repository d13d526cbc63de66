"""Models as C99 files without dependencies: one emitter for each kind of layer, and the functions that they call."""
