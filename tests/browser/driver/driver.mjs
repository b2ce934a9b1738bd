// One interface to three browser engines, so that a test is written once. An engine's file implements what its own
// protocol does differently; everything else is here, in terms of that.

/** Longest wait for anything on two busy cores, ms. */
export const PATIENCE = 120_000;
/** Between two looks at the page, ms. */
const POLL = 50;

/** How a browser is started. Without `profile` it has a fresh one, which goes with it. `preferences` are Firefox's.
 * @typedef {{ gpu?: boolean, profile?: string, preferences?: Record<string, boolean> }} Start */
/** @typedef {{ x: number, y: number }} Point  CSS pixels from an element's middle */

/**
 * One page of one browser.
 * @abstract
 */
export class Driver {
  /** Exceptions that no one caught, and violations of the security policy: where the protocol tells them.
   * @type {string[]} */
  complaints = [];

  /** Opens the page at an address and waits until it has loaded. @param {string} _address @returns {Promise<void>} */
  goto(_address) {
    return missing("goto");
  }

  /** Loads the page again. @returns {Promise<void>} */
  reload() {
    return missing("reload");
  }

  /** Clicks the middle of an element. @param {string} _selector @returns {Promise<void>} */
  click(_selector) {
    return missing("click");
  }

  /** Types into an element, after what it holds.
   * @param {string} _selector @param {string} _text @returns {Promise<void>} */
  type(_selector, _text) {
    return missing("type");
  }

  /** Presses a key, such as `Enter` or `ArrowLeft`, in an element.
   * @param {string} _selector @param {string} _key @returns {Promise<void>} */
  press(_selector, _key) {
    return missing("press");
  }

  /** Presses the pointer, moves it, and lets go.
   * @param {string} _selector @param {Point} _from @param {Point} _to @returns {Promise<void>} */
  drag(_selector, _from, _to) {
    return missing("drag");
  }

  /** Chooses files in a file input. @param {string} _selector @param {string[]} _paths @returns {Promise<void>} */
  setFiles(_selector, ..._paths) {
    return missing("setFiles");
  }

  /**
   * Runs a function in the page, waits for its promise, and gives what it returns, by way of JSON.
   * @template A, R
   * @param {(argument: A) => R} _function @param {A} [_argument]
   * @returns {Promise<Awaited<R>>}
   */
  evaluate(_function, _argument) {
    return missing("evaluate");
  }

  /** Ends the browser. @returns {Promise<void>} */
  close() {
    return missing("close");
  }

  /**
   * Waits until a function in the page gives something true, and gives that.
   * @template A, R
   * @param {string} what for the message, should it never happen
   * @param {(argument: A) => R} test @param {A} [argument] @param {number} [patience]
   * @returns {Promise<NonNullable<Awaited<R>>>}
   */
  async until(what, test, argument, patience = PATIENCE) {
    const end = Date.now() + patience;
    for (;;) {
      const found = await this.evaluate(test, argument);
      if (found) return found;
      if (Date.now() > end) throw new Error(`${patience / 1000} s and still not: ${what}\nThe page: ${await this.said()}`);
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  }

  /** Waits for an element that is shown. @param {string} selector @param {number} [patience] */
  async shown(selector, patience) {
    await this.until(`${selector} shown`, (selector) => Boolean(document.querySelector(selector)?.checkVisibility()), selector, patience);
  }

  /** Waits until an element has this text in it.
   * @param {string} selector @param {string} text @param {number} [patience] */
  async says(selector, text, patience) {
    await this.until(
      `“${text}” in ${selector}`,
      ({ selector, text }) => [...document.querySelectorAll(selector)].some((found) => found.textContent?.includes(text)),
      { selector, text },
      patience,
    );
  }

  /** The text of the last such element, empty where there is none. @param {string} selector */
  text(selector) {
    return this.evaluate((selector) => [...document.querySelectorAll(selector)].at(-1)?.textContent?.trim() ?? "", selector);
  }

  /** How many such elements there are. @param {string} selector */
  count(selector) {
    return this.evaluate((selector) => document.querySelectorAll(selector).length, selector);
  }

  /** What the page says of itself: for messages of tests. */
  said() {
    return this.evaluate(() => ["#status", "#error:not([hidden])", "#transcript", "#machine"].map((part) => document.querySelector(part)?.textContent?.replace(/\s+/g, " ").trim()).filter(Boolean).join(" | "))
      .catch((thrown) => `(cannot be asked: ${thrown})`);
  }
}

/** @param {string} method @returns {Promise<never>} */
function missing(method) {
  return Promise.reject(new Error(`this engine's driver lacks ${method}`));
}
