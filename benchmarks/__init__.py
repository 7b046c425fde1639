"""The stopwatch: what a training step costs, and how it compares with the classic recipes.

`make bench` runs it all in one process and writes tables and plots for the book's page
"How fast, and at what price"; each file holds one question and can be read alone.
"""
