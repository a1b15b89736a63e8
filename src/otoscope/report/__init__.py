"""Results as something to look at and to listen to: a page, pictures, sounds."""

from otoscope.report.figures import compare
from otoscope.report.files import compare_files
from otoscope.report.page import html
from otoscope.report.spectra import Region, find_region
from otoscope.report.summary import Summary, read_verdict, summarise
from otoscope.report.truth import Truth, read_truth

__all__ = [
    "Region",
    "Summary",
    "Truth",
    "compare",
    "compare_files",
    "find_region",
    "html",
    "read_truth",
    "read_verdict",
    "summarise",
]
