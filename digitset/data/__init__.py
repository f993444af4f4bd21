"""Images and sequences: where everything that is trained or asked comes from.

mnist.py reads IDX files and splits them; augment.py distorts images; sequences.py draws batches and evaluation sets.
Nothing here knows of models or training.
"""
