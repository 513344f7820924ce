"""Masked language models: their data, training and evaluation."""
