"""Readers of tables, texts and frames, and ragged batches of them. No models, no training."""
