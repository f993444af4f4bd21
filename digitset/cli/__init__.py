"""The command `digitset`: what a person types and sees.

main.py is the entry point; training_commands.py and model_commands.py have a function for each subcommand,
arguments.py the types that they share; terminal.py shows progress and results; completion.py completes in shells.
"""
