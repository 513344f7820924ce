"""Transformers: checkpoints, tokenizer, two runtimes and the training room."""
