// The frame of a page: title, contents, sections, and which rows of the lecture each section covers.

import { h } from "./ui/dom";
import { button } from "./ui/controls";
import { mathematics } from "./ui/equation";

/** A row of the lecture, such as "C1" or "R13" (docs/lecture.md). */
export type Row = `${"C" | "R"}${number}`;

/** A part of a page: what the lecture states, and something to do with it. */
export interface Section {
  /** Anchor, such as "kernel". */
  id: string;
  /** Rows of the lecture that the section covers. */
  rows: readonly Row[];
  title: string;
  /** The statement, in one or two sentences; subscripts as in `mathematics`. */
  statement: string;
  /** What to try, in one or two sentences. */
  task: string;
  /** Fill the element. A model may be awaited. */
  render(root: HTMLElement): void | Promise<void>;
}

export interface Page {
  title: string;
  introduction: string;
  /** The other page: address and title. */
  other: readonly [string, string];
  sections: readonly Section[];
}

/** Build the page into the document. `document.body.dataset.ready` is set when every section is drawn. */
export function mount(page: Page): void {
  const drawn: Promise<void>[] = [];
  const sections = page.sections.map((section) => {
    const root = h("div", { class: "content" });
    drawn.push(draw(section, root));
    return h(
      "section",
      { id: section.id, "data-rows": section.rows.join(" "), "aria-labelledby": `${section.id}-title` },
      h(
        "h2",
        { id: `${section.id}-title` },
        section.title,
        h("span", { class: "rows", title: "topic numbers" }, section.rows.join(" · ")),
      ),
      h("p", { class: "statement" }, ...mathematics(section.statement)),
      h("p", { class: "task" }, h("strong", {}, "Try: "), ...mathematics(section.task)),
      root,
      h(
        "p",
        { class: "reset" },
        button("Reset", () => void draw(section, root)),
      ),
    );
  });
  const contents = h(
    "ol",
    {},
    ...page.sections.map((section) =>
      h("li", {}, h("a", { href: `#${section.id}` }, section.title), " ", h("small", {}, section.rows.join(" · "))),
    ),
  );
  document.body.append(
    h(
      "header",
      {},
      h("p", { class: "brand" }, "throughtime"),
      h("h1", {}, page.title),
      h("p", {}, page.introduction),
      h("p", {}, "The other page: ", h("a", { href: page.other[0] }, page.other[1]), "."),
    ),
    h("nav", { "aria-label": "Contents" }, h("details", { open: "" }, h("summary", {}, "Contents"), contents)),
    h("main", {}, ...sections),
    h(
      "footer",
      {},
      "Everything is computed in this page: nothing is loaded, and nothing leaves it. The numbers equal those of the Python package ",
      h("strong", {}, "throughtime"),
      ".",
    ),
  );
  const stopFollowing = followAddress();
  void Promise.all(drawn).then(() => {
    stopFollowing();
    document.body.dataset.ready = String(Math.round(performance.now()));
  });
}

/**
 * Keep the section of the address (#…) at the top while the sections above it are drawn and grow.
 *
 * It ends when the reader scrolls or types, or when the returned function is called: two frames later, when the
 * plots, which are drawn once a frame, have their size.
 */
function followAddress(): () => void {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return () => undefined;
  const scroll = () => target.scrollIntoView({ behavior: "instant" });
  const observer = new ResizeObserver(scroll);
  const stop = () => observer.disconnect();
  observer.observe(document.body);
  for (const event of ["wheel", "touchstart", "pointerdown", "keydown"])
    window.addEventListener(event, stop, { once: true, passive: true });
  return () => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(stop)));
}

async function draw(section: Section, root: HTMLElement): Promise<void> {
  root.replaceChildren();
  try {
    await section.render(root);
  } catch (error) {
    console.error(error);
    root.replaceChildren(h("p", { class: "error", role: "alert" }, `This section failed: ${String(error)}`));
  }
}
