// Emphasis and code within a block of Markdown → a tree. Time is linear in the length of the text.

/** @typedef {string | { type: "strong" | "em", inner: Inline[] } | { type: "code", text: string }} Inline */

/** Escapes, code, emphasis. */
const MARKS = /\\[\\`*_#[\]()~>+.!-]|`+|\*+|_+/g;
const isWord = (/** @type {string | undefined} */ c) => c !== undefined && /[\p{L}\p{N}]/u.test(c);
const isSpace = (/** @type {string | undefined} */ c) => c === undefined || /\s/.test(c);

/** Parses emphasis and code within a block. @param {string} text @returns {Inline[]} */
export function parseInline(text) {
  const marks = [...text.matchAll(MARKS)];
  const closing = closingTicks(marks);
  const open = new Open();
  let at = 0;
  for (let i = 0; i < marks.length; i++) {
    const { 0: mark, index } = /** @type {RegExpExecArray} */ (marks[i]);
    open.add(text.slice(at, index));
    at = index + mark.length;
    const close = closing[i];
    if (mark[0] === "\\") open.add(mark.slice(1));
    else if (close !== undefined) {
      const end = marks[close]?.index ?? at;
      open.add({ type: "code", text: text.slice(at, end).replace(/^ (.*\S.*) $/s, "$1") });
      [i, at] = [close, end + mark.length];
    } else if (mark[0] === "`" || mark.length > (mark[0] === "*" ? 3 : 2)) open.add(mark);
    else open.emphasis(mark, text[index - 1], text[at]);
  }
  open.add(text.slice(at));
  return open.end();
}

/** Returns for each run of backticks the next one of its length, by their places in `marks`.
 * @param {RegExpExecArray[]} marks @returns {(number | undefined)[]} */
function closingTicks(marks) {
  /** @type {Map<number, number>} */
  const next = new Map();
  const closing = Array(marks.length);
  for (let i = marks.length - 1; i >= 0; i--) {
    const [mark = ""] = marks[i] ?? [];
    if (mark[0] !== "`") continue;
    closing[i] = next.get(mark.length);
    next.set(mark.length, i);
  }
  return closing;
}

/** The emphasis that is open, outermost first. A mark is open once at most, so that there are five levels at most. */
class Open {
  /** @type {{ mark: string, inner: Inline[] }[]} */
  #levels = [{ mark: "", inner: [] }];

  /** @param {Inline} inline */
  add(inline) {
    const inner = this.#levels.at(-1)?.inner ?? [];
    const last = inner.length - 1;
    if (typeof inline === "string" && typeof inner[last] === "string") inner[last] += inline;
    else if (inline !== "") inner.push(inline);
  }

  /** Opens or closes emphasis. @param {string} run of one to three marks
   * @param {string | undefined} before @param {string | undefined} after the characters around it */
  emphasis(run, before, after) {
    const whole = run.slice(0, 2);
    const single = run.slice(0, 1);
    const marks = run.length < 3 ? [run] : this.#levels.at(-1)?.mark === single ? [single, whole] : [whole, single];
    for (const mark of marks) {
      // Within a word only ** is emphasis: 2*3*4 and snake_case_name are not.
      const inWord = mark !== "**";
      if (this.#levels.some((level) => level.mark === mark)) {
        if (!isSpace(before) && !(inWord && isWord(after))) this.#close(mark);
        else this.add(mark);
      } else if (!isSpace(after) && !(inWord && isWord(before))) this.#levels.push({ mark, inner: [] });
      else this.add(mark);
    }
  }

  /** @param {string} mark */
  #close(mark) {
    while (this.#levels.at(-1)?.mark !== mark) this.#giveUp();
    const { inner } = this.#levels.pop() ?? { inner: [] };
    this.add({ type: mark.length === 2 ? "strong" : "em", inner });
  }

  /** Turns the innermost open mark into text. */
  #giveUp() {
    const { mark, inner } = this.#levels.pop() ?? { mark: "", inner: [] };
    for (const inline of [mark, ...inner]) this.add(inline);
  }

  end() {
    while (this.#levels.length > 1) this.#giveUp();
    return this.#levels[0]?.inner ?? [];
  }
}
