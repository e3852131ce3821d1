// The page "Convolution": rows C1 to C8.

import { mount } from "./page";
import { block } from "./convolution/block";
import { kernel } from "./convolution/kernel";
import { dilated } from "./convolution/dilated";
import { linear } from "./convolution/linear";
import { pooling } from "./convolution/pooling";
import { stacked } from "./convolution/stacked";
import { wide } from "./convolution/wide";
import { textCnn } from "./convolution/text_cnn";

mount({
  title: "Convolution",
  introduction:
    "Draw signals, slide kernels, stack and dilate them, and look into a trained text CNN. Signals are drawn with the pointer, or with the arrow keys: up and down change a value, left and right choose another. Each section states one property of convolutional networks and suggests what to try.",
  other: ["recurrence.html", "Recurrence"],
  sections: [kernel, linear, pooling, block, stacked, wide, dilated, textCnn],
});
