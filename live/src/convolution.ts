// The page "Convolution": rows C1 to C8.

import { mount } from "./page";
import { kernel } from "./convolution/kernel";
import { linear } from "./convolution/linear";
import { pooling } from "./convolution/pooling";

mount({
  title: "Convolution",
  introduction:
    "Draw signals, slide kernels, stack and dilate them, and look into a trained text CNN. Each section is a statement of a lecture on convolutional and recurrent networks, with something to do.",
  other: ["recurrence.html", "Recurrence"],
  sections: [kernel, linear, pooling],
});
