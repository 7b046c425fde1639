"""Grading a class: repair, run in a sandbox, judge from outside, hand to nbgrader, report.

No line of a submission runs in the grader's process. `sandbox` says where it runs, `agent` runs it
there, `remote` talks to the agent, `judge` executes an assignment's tests against what answers.
"""
