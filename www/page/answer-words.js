// The words of a shown answer as elements that can be chosen, and the tokens that each stands for.

import { make } from "./dom.js";

/** @typedef {import("../llava/chat/types.js").AnswerAttention} AnswerAttention */

/** A word: its first and last character in the answer, and the element that shows it.
 * @typedef {{ from: number, to: number, text: string, element: HTMLElement }} Word */

/** Letters, digits and what stands inside of words; other signs are words of their own. */
const WORD = /[\p{L}\p{N}]+(?:[’'.,-][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]/gu;

/** Wraps the words of an answer, in order. Marks of Markdown are not shown, so each word is looked for behind the last.
 * @param {HTMLElement} shown @param {string} answer @returns {Word[]} */
export function wrapWords(shown, answer) {
  const walker = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const texts = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node instanceof Text && !node.parentElement?.closest("button")) texts.push(node);
  }
  /** @type {Word[]} */
  const words = [];
  let cursor = 0;
  for (const node of texts) {
    /** @type {(Node | string)[]} */
    const parts = [];
    let end = 0;
    for (const { 0: text, index } of node.data.matchAll(WORD)) {
      const from = answer.indexOf(text, cursor);
      if (from < 0) continue;
      cursor = from + text.length;
      const element = make("span", { class: "word", role: "button", "aria-pressed": "false", text });
      element.tabIndex = words.length ? -1 : 0;
      parts.push(node.data.slice(end, index), element);
      end = index + text.length;
      words.push({ from, to: cursor, text, element });
    }
    node.replaceWith(...parts, node.data.slice(end));
  }
  return words;
}

/** Shows the answer as it was. @param {HTMLElement} shown */
export function unwrapWords(shown) {
  for (const element of shown.querySelectorAll(".word")) element.replaceWith(element.textContent ?? "");
  shown.normalize();
}

/** Returns the tokens of a word: those whose text reaches into it. The answer is the text of all, without the space around it.
 * @param {AnswerAttention} attention @param {{ from: number, to: number }} word @returns {number[]} */
export function tokensOf({ tokens }, { from, to }) {
  const all = tokens.map(({ text }) => text).join("");
  let at = all.trimStart().length - all.length;
  return tokens.flatMap(({ text }, i) => {
    const [begin, end] = [at, at + text.length];
    at = end;
    // The space before a word belongs to the token, not to the word.
    const inner = begin + text.length - text.trimStart().length;
    return inner < to && end > from && text.trim() ? [i] : [];
  });
}
