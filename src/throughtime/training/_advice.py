"""What errors about a run's folder advise, to callers of `fit` and of the command line alike."""

ELSEWHERE = "choose another folder (--out)"
RESUME_OR_ELSEWHERE = f"resume it (resume=True, or --resume) or {ELSEWHERE}"
