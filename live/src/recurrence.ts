// The page "Recurrence": rows R1 to R15.

import { mount } from "./page";
import { bidirectional } from "./recurrence/bidirectional";
import { classifier } from "./recurrence/classifier";
import { clipping } from "./recurrence/clipping";
import { costs } from "./recurrence/costs";
import { general } from "./recurrence/general";
import { gruSection } from "./recurrence/gru";
import { influenceSection } from "./recurrence/influence";
import { lstmSection } from "./recurrence/lstm";
import { minimum } from "./recurrence/minimum";
import { padding } from "./recurrence/padding";
import { spectrum } from "./recurrence/spectrum";
import { throughTime } from "./recurrence/through_time";
import { truncated } from "./recurrence/truncated";
import { vanilla } from "./recurrence/vanilla";

mount({
  title: "Recurrence",
  introduction:
    "Unroll a recurrent network, watch its gradients vanish and explode, open the gates of an LSTM, and let a trained network read your text. Each section states one property of recurrent networks and suggests what to try.",
  other: ["convolution.html", "Convolution"],
  sections: [
    general,
    vanilla,
    throughTime,
    truncated,
    spectrum,
    clipping,
    minimum,
    lstmSection,
    gruSection,
    bidirectional,
    influenceSection,
    padding,
    costs,
    classifier,
  ],
});
