// Elements, written as an expression.

export type Child = Node | string;
export type Attributes = Record<string, string | EventListener>;

/** Return an element: `h("a", { href: "#x", onclick: listener }, "text")`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

/** Return an SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Return a part that scrolls sideways by itself where the window is too narrow for it. */
export const scrolling = (label: string, child: Child): HTMLElement =>
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, child);

let last = 0;
/** Return an identifier that no other element has. */
export const unique = (prefix: string): string => `${prefix}-${++last}`;
