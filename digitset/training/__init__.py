"""Training one run: loop.py, from the configuration to a finished folder; distributed.py, several processes as one.

optimizer.py has AdamW and Muon; progress.py shows how far a run is; tensorboard.py writes its metrics for TensorBoard.
Offers `train(run)`; `digitset.training.loop.training_step` is the step, readable from top to bottom.
Only `bench`, `cli` and `digitset/__init__.py` import this room.
"""
