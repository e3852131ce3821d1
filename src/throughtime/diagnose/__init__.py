"""What gradients do on their way back through time, what the weights say of it, and what a model reads."""

from throughtime.diagnose._clip import AdaptiveClip as AdaptiveClip
from throughtime.diagnose._clip import ClipEvent as ClipEvent
from throughtime.diagnose._diagnosis import diagnose as diagnose
from throughtime.diagnose._findings import Finding as Finding
from throughtime.diagnose._findings import findings_of_flow as findings_of_flow
from throughtime.diagnose._findings import reach as reach
from throughtime.diagnose._flow import GradientFlow as GradientFlow
from throughtime.diagnose._flow import LayerFlow as LayerFlow
from throughtime.diagnose._flow import Saturation as Saturation
from throughtime.diagnose._flow import gradient_flow as gradient_flow
from throughtime.diagnose._influence import Influence as Influence
from throughtime.diagnose._influence import influence as influence
from throughtime.diagnose._lyapunov import Lyapunov as Lyapunov
from throughtime.diagnose._lyapunov import lyapunov_exponents as lyapunov_exponents
from throughtime.diagnose._profile import Profile as Profile
from throughtime.diagnose._spectrum import Spectrum as Spectrum
from throughtime.diagnose._spectrum import spectrum as spectrum
from throughtime.diagnose._training_findings import clipping as clipping
from throughtime.diagnose._training_findings import drifting as drifting
from throughtime.diagnose._training_findings import first_not_finite as first_not_finite
from throughtime.diagnose._training_findings import no_minimum as no_minimum
from throughtime.diagnose._training_findings import order_unused as order_unused
from throughtime.diagnose._watch import Watch as Watch
from throughtime.diagnose._watch import watch as watch
