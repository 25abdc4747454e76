"""Models as files and as graphs: checked before they are loaded, and all brought to one form, ONNX in float32."""
