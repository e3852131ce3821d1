"""What errors about a run's folder advise, to callers of `fit` and of the command line alike."""

from throughtime._options import named

ELSEWHERE = f"choose another folder with {named('out')}"
RESUME = f"resume it with {named('resume', value=True)}"
RESUME_OR_ELSEWHERE = f"{RESUME} or {ELSEWHERE}"
