"""Trained networks at work: answers, explanations, sharing and export. Nothing here trains.

predictor.py answers; explain.py says why; publish.py and hub.py share; onnx_export.py, onnx_ops.py and onnx_runtime.py
are for ONNX; length_generalization.py measures long sequences; pretrained/ holds the models of the package.
"""
