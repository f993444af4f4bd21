"""Scores of networks on test and validation images. Nothing here trains or chooses.

evaluate.py makes the evaluation sets, predictions, scores and intervals; calibration.py asks whether probabilities mean
what they say. Offers `evaluate`, `evaluate_run_folder`, `evaluate_classifier_rule`, `predict_sets`.
"""
