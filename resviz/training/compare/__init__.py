"""`train_compare`: networks trained side by side."""
