"""Comparisons of models over tasks, encoders and seeds: what is trained, where, and what the results say.

compare.py trains README's table; grid.py, executors.py and runner.py make a benchmark; tables.py holds its rows;
statistics.py and leaderboard.py test them. Of these, only compare.py and runner.py import training.
"""
