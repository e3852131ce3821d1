"""Files, texts and source code as ragged batches of token numbers. No models, no training."""
