"""``model="auto"``: several models, trained on folds of the rows and blended by their held-out outputs."""

from throughtime.learn.auto.blending import blend_runs as blend_runs
from throughtime.learn.auto.candidates import Sizes as Sizes
from throughtime.learn.auto.outcome import MemberOutcome as MemberOutcome
from throughtime.learn.auto.outcome import Outcome as Outcome
from throughtime.learn.auto.outcome import read_outcome as read_outcome
from throughtime.learn.auto.plan import Member as Member
from throughtime.learn.auto.plan import Plan as Plan
from throughtime.learn.auto.plan import plan_of as plan_of
from throughtime.learn.auto.plan import planned as planned
from throughtime.learn.auto.pool import is_in_memory as is_in_memory
from throughtime.learn.auto.pool import may_fold as may_fold
from throughtime.learn.auto.pool import sizes_of as sizes_of
from throughtime.learn.auto.training import fit_plan as fit_plan
