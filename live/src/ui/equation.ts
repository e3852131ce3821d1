// Equations in one line of text: `_{…}` is a subscript, `^{…}` a superscript.

import { h } from "./dom";

/** Return the pieces of an equation, for a paragraph. */
export function mathematics(text: string): (HTMLElement | string)[] {
  return text
    .split(/([_^]\{[^}]*\})/)
    .filter((piece) => piece)
    .map((piece) => (/^[_^]\{/.test(piece) ? h(piece[0] === "_" ? "sub" : "sup", {}, piece.slice(2, -1)) : piece));
}

/** Return equations, one a line. */
export const equation = (...lines: string[]): HTMLElement =>
  h(
    "div",
    { class: "equation", tabindex: "0", role: "region", "aria-label": "equation" },
    ...lines.map((line) => h("div", {}, ...mathematics(line))),
  );

/** Return an equation without the marks of subscripts and superscripts. */
export const plainText = (text: string): string => text.replace(/([_^])\{([^}]*)\}/g, "$1$2");
