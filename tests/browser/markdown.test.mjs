// Markdown of answers: what it becomes, that nothing in it is more than text, that its time is linear; and the view,
// which renders only the end again while an answer grows.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { parseInline } from "../../www/page/markdown-inline.js";
import { parse } from "../../www/page/markdown.js";
import { launch, open, serve } from "./harness.mjs";

/** @typedef {import("../../www/page/markdown.js").Block} Block */
/** @typedef {import("../../www/page/markdown-inline.js").Inline} Inline */

/** Writes inline text with angle brackets for its marks. @param {Inline[]} inner @returns {string} */
const inlineText = (inner) =>
  inner.map((inline) => (typeof inline === "string" ? inline : inline.type === "code" ? `<c>${inline.text}</c>` : `<${inline.type}>${inlineText(inline.inner)}</${inline.type}>`)).join("");

/** Writes a block briefly. @param {Block} block @returns {string} */
function brief(block) {
  switch (block.type) {
    case "paragraph":
      return inlineText(block.inner);
    case "heading":
      return `# ${inlineText(block.inner)}`;
    case "rule":
      return "---";
    case "code":
      return `code(${block.language}): ${block.text}`;
    case "list":
      return `${block.ordered ? block.start : "*"}[${block.items.map((item) => item.map(brief).join(" ")).join(" | ")}]`;
  }
}

/** @type {[string, string, string[]][]} */
const CASES = [
  ["paragraphs and line breaks", "a\nb\n\n\nc", ["a\nb", "c"]],
  ["emphasis", "**b** *i* __b__ _i_ ***both*** **a *b* c**", ["<strong>b</strong> <em>i</em> <strong>b</strong> <em>i</em> <strong><em>both</em></strong> <strong>a <em>b</em> c</strong>"]],
  ["marks that are no emphasis", "2*3*4 snake_case_name a * b ** c **d *e", ["2*3*4 snake_case_name a * b ** c **d *e"]],
  ["emphasis that crosses", "**a *b** c*", ["<strong>a *b</strong> c*"]],
  ["code spans", "`a*b*` ``c`d`` `open", ["<c>a*b*</c> <c>c`d</c> `open"]],
  ["escapes", "\\*no\\* \\# \\z", ["*no* # \\z"]],
  ["headings and rules", "# One\n### Two *x*\n####### seven\n#none\n---\n***", ["# One", "# Two <em>x</em>", "####### seven\n#none", "---", "---"]],
  ["lists", "- a\n- b\n\n1. c\n2. d", ["*[a | b]", "1[c | d]"]],
  ["a list that begins at 3, after text", "See:\n\n3. x\n4. y", ["See:", "3[x | y]"]],
  ["nested lists, and text that goes on", "1. a\n   more\n   - b\n   - c\n     - d\n2. e\nlazy\n\nend", ["1[a\nmore *[b | c *[d]] | e\nlazy]", "end"]],
  ["code in a list", "- a\n  ```py\n  x = 1\n  ```\n- b", ["*[a code(py): x = 1 | b]"]],
  ["a number is no list", "3.", ["3."]],
  ["a sentence that begins with a number", "in\n1990. It was", ["in\n1990. It was"]],
  ["fenced code", "```js\nlet *a*;\n\n  - b\n```\nafter", ["code(js): let *a*;\n\n  - b", "after"]],
  ["a fence in a longer fence", "~~~~\n~~~\n```\n~~~~", ["code(): ~~~\n```"]],
  ["a fence that is never closed", "a\n```\n<b>\n- x", ["a", "code(): <b>\n- x"]],
  ["HTML and links stay text", "<script>alert(1)</script> <img src=x onerror=y> [t](javascript:x) &amp;", ["<script>alert(1)</script> <img src=x onerror=y> [t](javascript:x) &amp;"]],
  ["nothing", "", []],
  ["blank lines", " \n\t\n", []],
];

describe("Markdown", () => {
  for (const [name, text, expected] of CASES) {
    test(name, () => assert.deepEqual(parse(text).map(brief), expected));
  }

  test("places are where the blocks begin", () => {
    for (const [, text] of CASES) {
      for (const { from, ...block } of parse(text)) assert.deepEqual(brief(block), brief(/** @type {Block} */ (parse(text.slice(from))[0])));
    }
  });

  test("lists deeper than any that people write are text in the end", () => {
    const deep = Array.from({ length: 1000 }, (_, i) => `${" ".repeat(2 * i)}- x`).join("\n");
    assert(JSON.stringify(parse(deep)).split('"list"').length <= 9);
  });

  test("time is linear, whatever the input", () => {
    /** @type {Record<string, (n: number) => string>} */
    const nasty = {
      stars: (n) => "*".repeat(n),
      "stars that open": (n) => " *a".repeat(n / 3),
      "bold that opens": (n) => "**a ".repeat(n / 4),
      "all marks": (n) => "**a *b _c __d `e ".repeat(n / 17),
      ticks: (n) => "`a``b```c".repeat(n / 9),
      "ticks of all lengths": (n) => Array.from({ length: Math.sqrt(2 * n) }, (_, i) => "`".repeat(i)).join(" "),
      fences: (n) => "```\n~~~\n".repeat(n / 8),
      "one line": (n) => "x".repeat(n),
      spaces: (n) => `${" ".repeat(n)}x`,
      "an almost rule": (n) => `${"- ".repeat(n / 2)}x`,
      "an almost heading": (n) => `# ${"# ".repeat(n / 2)}`,
      "blank lines in a list": (n) => `- a\n${"\n".repeat(n)}b`,
      "many lists": (n) => "- a\n\nb\n\n".repeat(n / 9),
      "one list": (n) => "- a\n".repeat(n / 4),
      "stairs of lists": (n) => Array.from({ length: Math.sqrt(n) }, (_, i) => `${" ".repeat(2 * i)}- x`).join("\n"),
      backslashes: (n) => "\\*".repeat(n / 2),
    };
    for (const [name, make] of Object.entries(nasty)) {
      const text = make(400_000);
      const begun = performance.now();
      parse(text);
      const taken = performance.now() - begun;
      // Linear, this takes 0.2 s at most; with the square of 100 000 marks, minutes.
      assert(taken < 3000, `${name}: ${taken.toFixed(0)} ms`);
    }
  });

  test("inline text is kept, apart from its marks", () => {
    const text = "a *b* `c` **d** \\_ é 漢字 🙂 **漢**";
    assert.equal(inlineText(parseInline(text)), "a <em>b</em> <c>c</c> <strong>d</strong> _ é 漢字 🙂 <strong>漢</strong>");
  });
});

describe("the view of an answer", () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  before(async () => {
    server = await serve();
    browser = await launch({ gpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test("an answer that grows letter by letter looks like one that is shown at once", async () => {
    const visit = await open(browser, server.url);
    const texts = [...CASES.map(([, text]) => text), CASES.map(([, text]) => text).join("\n\n")];
    const differing = await visit.page.evaluate(async (texts) => {
      const address = "/page/markdown-view.js";
      const { MarkdownView } = await import(address);
      const [growing, whole] = [document.createElement("div"), document.createElement("div")];
      const differing = [];
      for (const text of texts) {
        growing.replaceChildren();
        const view = new MarkdownView(growing);
        for (let end = 0; end <= text.length; end++) {
          view.show(text.slice(0, end));
          whole.replaceChildren();
          new MarkdownView(whole).show(text.slice(0, end));
          if (growing.outerHTML !== whole.outerHTML) differing.push(text.slice(0, end));
        }
        // An answer that is another one replaces all of it.
        view.show(`other ${text}`);
        whole.replaceChildren();
        new MarkdownView(whole).show(`other ${text}`);
        if (growing.outerHTML !== whole.outerHTML) differing.push(`other ${text}`);
      }
      return differing;
    }, texts);
    assert.deepEqual(differing, []);
    await visit.close();
  });

  test("4000 tokens are shown as they come, in a time that grows with their number", async () => {
    const visit = await open(browser, server.url);
    const times = await visit.page.evaluate(async () => {
      const address = "/page/markdown-view.js";
      const { MarkdownView } = await import(address);
      const token = (/** @type {number} */ i) => (i % 60 === 59 ? ".\n\n" : i % 60 === 30 ? ":\n- **item**" : i % 2 ? " token" : " of text");
      /** @param {number} count @param {(i: number) => string} token */
      const show = (count, token) => {
        const element = document.createElement("div");
        document.body.append(element);
        const view = new MarkdownView(element);
        let text = "";
        made = 0;
        const begun = performance.now();
        for (let i = 0; i < count; i++) view.show((text += token(i)));
        const ms = performance.now() - begun;
        element.remove();
        return { ms, made };
      };
      let made = 0;
      const { createElement } = document;
      document.createElement = (/** @type {any} */ ...named) => ((made += 1), createElement.apply(document, named));
      return { short: show(1000, token), long: show(4000, token), paragraph: show(4000, () => " words"), code: show(4000, (i) => (i ? " x;\n" : "```\n")) };
    });
    console.log(`shown: ${JSON.stringify(times)}`);
    // Rendering all of the answer for every token would make 16 times the elements for 4 times the tokens.
    assert(times.long.made < 4.5 * times.short.made, JSON.stringify(times));
    for (const { ms } of Object.values(times)) assert(ms < 10_000, JSON.stringify(times));
    await visit.close();
  });
});
