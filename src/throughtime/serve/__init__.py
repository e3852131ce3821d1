"""Predictions over HTTP: requests that wait are computed in one padding-free batch."""

from throughtime.serve.app import ServedRuns as ServedRuns
from throughtime.serve.app import create_app as create_app
from throughtime.serve.options import ServeOptions as ServeOptions
from throughtime.serve.options import declared_options as declared_options
from throughtime.serve.server import serve as serve
