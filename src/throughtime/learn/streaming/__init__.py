"""Raw data in chunks: what `throughtime.Stream` runs of a predictor."""

from throughtime.learn.streaming.source import PredictorSource as PredictorSource
