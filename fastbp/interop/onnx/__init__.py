"""Models as ONNX graphs: one emitter for each kind of layer, the preprocessing of tables, the whole estimators."""
