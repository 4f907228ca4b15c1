"""`architecture`: stages, shapes, parameters and multiply-adds."""
