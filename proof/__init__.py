"""Try to break the relay's promises, as long as it is given (`python -m proof`)."""
