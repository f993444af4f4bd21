"""Trained networks at work: answers, explanations, sharing and export. Nothing here trains.

predictor.py answers what inputs.py lets pass; explain.py says why, and places.py where on an image; publish.py and
hub.py share; onnx_export.py, onnx_explained.py, onnx_ops.py and onnx_runtime.py are for ONNX; pretrained/ holds the
models of the package; length_generalization.py measures long sequences.
"""
