"""Images and sequences: where everything that is trained or asked comes from.

mnist.py gives MNIST or another set in three splits; sources.py decides what a folder holds, and idx.py, npz.py and
labelled_pictures.py read it; digits.py checks it; augment.py distorts images; sequences.py draws batches and
evaluation sets. Nothing here knows of models or training.
"""
