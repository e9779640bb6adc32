"""Tuning: parameters of model families chosen on purged folds inside the train block."""
