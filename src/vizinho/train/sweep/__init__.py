"""Many trainings over a grid of options: one row each, resumable, told as a table.

Reading order: ``grid`` > ``ledger`` > ``pixels`` > ``run`` > ``conduct`` (and ``workers`` for
several at once) > ``summary``.
"""
