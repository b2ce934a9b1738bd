// Shows Markdown that grows, as elements and text nodes. Only the last blocks are rendered again when text is appended.

import { copyButton } from "./copy-button.js";
import { make } from "./dom.js";
import { parse } from "./markdown.js";

/** @typedef {import("./markdown.js").Block} Block */
/** @typedef {import("./markdown-inline.js").Inline} Inline */

/** @param {Inline} inline @returns {Node | string} */
function inlineNode(inline) {
  if (typeof inline === "string") return inline;
  if (inline.type === "code") return make("code", { text: inline.text });
  return make(inline.type, {}, ...inline.inner.map(inlineNode));
}

/** @param {Block} block @returns {HTMLElement} */
function blockNode(block) {
  switch (block.type) {
    case "paragraph":
      return make("p", {}, ...block.inner.map(inlineNode));
    case "heading":
      return make("p", {}, make("strong", {}, ...block.inner.map(inlineNode)));
    case "rule":
      return make("hr");
    case "code": {
      const code = make("code", { text: block.text });
      const pre = make("pre", {}, code);
      // A wide line scrolls; the keyboard reaches it.
      pre.tabIndex = 0;
      return make("div", { class: "code" }, pre, copyButton(`Copy this code${block.language && `, ${block.language}`}`, () => code.textContent ?? ""));
    }
    case "list": {
      const items = block.items.map((inner) => make("li", {}, ...inner.map(blockNode)));
      const list = make(block.ordered ? "ol" : "ul", {}, ...items);
      if (list instanceof HTMLOListElement) list.start = block.start;
      return list;
    }
  }
}

export class MarkdownView {
  #text = "";
  /** Position in the text from which it is parsed again: further text changes nothing before the last two blocks. */
  #from = 0;
  /** Number of blocks before that position. */
  #settled = 0;

  /** @param {HTMLElement} element that the view fills */
  constructor(element) {
    this.element = element;
  }

  /** @param {string} text */
  show(text) {
    if (text === this.#text) return;
    if (!text.startsWith(this.#text.slice(0, this.#from))) this.#from = this.#settled = 0;
    const blocks = parse(text.slice(this.#from));
    while (this.element.childNodes.length > this.#settled) this.element.lastChild?.remove();
    this.element.append(...blocks.map(blockNode));
    const last = Math.max(0, blocks.length - 2);
    this.#settled += last;
    this.#from += blocks[last]?.from ?? 0;
    this.#text = text;
  }
}
