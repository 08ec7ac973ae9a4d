"""Benchmarks: what the relay costs, beside yardsticks that ran in the same round."""
