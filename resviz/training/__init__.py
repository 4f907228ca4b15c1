"""Networks while they train: a recorder for a loop, comparisons of trainings."""
