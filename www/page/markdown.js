// Markdown as language models write it → a tree: paragraphs, headings, lists, code, bold and italic. A subset of
// CommonMark. Everything else, HTML and links included, stays plain text. Time is linear in the length of the text.

import { parseInline } from "./markdown-inline.js";

/** @typedef {import("./markdown-inline.js").Inline} Inline */
/**
 * @typedef {{ type: "paragraph" | "heading", inner: Inline[] } | { type: "rule" }
 *   | { type: "code", language: string, text: string }
 *   | { type: "list", ordered: boolean, start: number, items: Block[][] }} Block
 */
/** A block, and the position in the text at which it begins. @typedef {Block & { from: number }} PlacedBlock */

/** Depth of nested lists beyond which their marks stay text: each level reads its lines again. */
const MAX_DEPTH = 8;

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}#{1,6}[ \t]+(?=\S)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
/** An item needs text: an answer of "3." is no list. */
const ITEM = /^([ \t]*)([-*+•]|\d{1,9}[.)])[ \t]+(?=\S)/;

const isBlank = (/** @type {string} */ line) => !/\S/.test(line);
const indentOf = (/** @type {string} */ line) => line.length - line.trimStart().length;

/** Parses a text. @param {string} text @returns {PlacedBlock[]} */
export function parse(text) {
  return parseLines(text.split("\n"), 0);
}

/** @param {string[]} lines @param {number} depth of the lists around them */
function parseLines(lines, depth) {
  /** @type {PlacedBlock[]} */
  const blocks = [];
  for (let at = 0, from = 0; at < lines.length; ) {
    const start = at;
    if (isBlank(lines[at] ?? "")) at += 1;
    else {
      const [block, end] = readBlock(lines, at, depth);
      blocks.push({ from, ...block });
      at = end;
    }
    for (let i = start; i < at; i++) from += (lines[i] ?? "").length + 1;
  }
  return blocks;
}

/** Reads the block that begins at line `at`. @param {string[]} lines @param {number} at @param {number} depth
 * @returns {[Block, number]} the block, and the line after it */
function readBlock(lines, at, depth) {
  const line = lines[at] ?? "";
  const fence = FENCE.exec(line);
  if (fence) return readCode(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [{ type: "heading", inner: parseInline(line.slice(heading[0].length).trim()) }, at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (depth < MAX_DEPTH && ITEM.test(line)) return readList(lines, at, depth);
  let end = at + 1;
  while (end < lines.length && continuesParagraph(lines[end] ?? "", depth)) end += 1;
  const words = lines.slice(at, end).map((line) => line.trim());
  return [{ type: "paragraph", inner: parseInline(words.join("\n")) }, end];
}

/** @param {string} line @param {number} depth */
function continuesParagraph(line, depth) {
  const mark = depth < MAX_DEPTH ? ITEM.exec(line)?.[2] : undefined;
  // A sentence may begin with a number after a line break: only 1 begins a list there.
  if (mark && (!/\d/.test(mark) || Number.parseInt(mark) === 1)) return false;
  return !isBlank(line) && !FENCE.test(line) && !HEADING.test(line) && !RULE.test(line);
}

/** Reads code up to its closing fence, or to the end. @param {string[]} lines @param {number} at
 * @param {RegExpExecArray} fence @returns {[Block, number]} */
function readCode(lines, at, [opening, mark = "", info = ""]) {
  const indent = indentOf(opening);
  let end = at + 1;
  const closes = (/** @type {string} */ line) => {
    const [, found = "", rest = ""] = FENCE.exec(line) ?? [];
    return found.startsWith(mark) && isBlank(rest);
  };
  while (end < lines.length && !closes(lines[end] ?? "")) end += 1;
  const text = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, indentOf(line)))).join("\n");
  return [{ type: "code", language: info.trim().split(/\s/)[0] ?? "", text }, end + 1];
}

/** Reads the items of a list. An item goes on with indented lines, and with lines that follow its text directly.
 * @param {string[]} lines @param {number} at @param {number} depth @returns {[Block, number]} */
function readList(lines, at, depth) {
  const [, { length: indent } = "", mark = ""] = ITEM.exec(lines[at] ?? "") ?? [];
  const ordered = /\d/.test(mark);
  /** @type {string[][]} */
  const items = [];
  let end = at;
  // Where the text of the item begins.
  let inner = 0;
  for (let next = at; next < lines.length; next++) {
    const line = lines[next] ?? "";
    const own = indentOf(line);
    const item = ITEM.exec(line);
    if (isBlank(line)) continue;
    if (items.length && (own >= indent + 2 || line[indent] === "\t" && own > indent)) {
      const blanks = Array(next - end).fill("");
      items.at(-1)?.push(...blanks, line.slice(Math.min(inner, own)));
    } else if (item && /\d/.test(item[2] ?? "") === ordered && !RULE.test(line)) {
      inner = item[0].length;
      items.push([line.slice(inner)]);
    } else if (next === end && continuesParagraph(line, depth)) {
      items.at(-1)?.push(line.trimStart());
    } else break;
    end = next + 1;
  }
  return [{ type: "list", ordered, start: ordered ? Number.parseInt(mark) : 1, items: items.map((item) => parseLines(item, depth + 1)) }, end];
}
