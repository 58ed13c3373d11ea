"""How good a model is: figures on labelled faces, from an .onnx file, without torch."""
