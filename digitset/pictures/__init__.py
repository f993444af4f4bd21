"""Pictures that a person has, made into the 28x28 digits that models read.

read.py opens files; ink.py tells ink from paper, lines and frames; normalize.py turns ink into one digit as MNIST has
it; segment.py finds several digits, and touching.py cuts those that touch; one_digit.py says what is no digit;
number.py reads the numbers that digits make; ask.py asks a model about them.
"""
