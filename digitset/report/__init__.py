"""Figures and pages, from run folders and tables alone. Nothing here trains.

figures.py, explanation_figure.py and charts.py draw; comparison.py writes the page of `compare`, benchmark.py that of
`bench`, with the words and tables of verdicts.py; seal.py tells whether it is current; templates/ has its HTML.
"""
