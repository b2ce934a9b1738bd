// Chromium, by Playwright.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { CHROMIUM, chromiumFlags } from "../harness.mjs";
import { Driver, PATIENCE } from "./driver.mjs";

/** @typedef {import("./driver.mjs").Point} Point */

export class Chromium extends Driver {
  /** @param {import("./driver.mjs").Start} [start] */
  static async start({ gpu = false, profile } = {}) {
    const folder = profile ?? (await mkdtemp(path.join(tmpdir(), "llava-chromium-")));
    const context = await chromium.launchPersistentContext(folder, { executablePath: CHROMIUM, headless: true, args: chromiumFlags(gpu), viewport: { width: 1200, height: 900 } });
    context.setDefaultTimeout(PATIENCE);
    return new Chromium(context, context.pages()[0] ?? (await context.newPage()), profile ? "" : folder);
  }

  /** @param {import("playwright-core").BrowserContext} context @param {import("playwright-core").Page} page
   * @param {string} scratch */
  constructor(context, page, scratch) {
    super();
    this.context = context;
    this.page = page;
    this.scratch = scratch;
    page.on("pageerror", (error) => this.complaints.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (/content security policy|trusted type/i.test(message.text())) this.complaints.push(message.text());
    });
  }

  /** @override @param {string} address */
  async goto(address) {
    await this.page.goto(address);
  }

  /** @override */
  async reload() {
    await this.page.reload();
  }

  /** @override @param {string} selector */
  async click(selector) {
    await this.page.locator(selector).click();
  }

  /** @override @param {string} selector @param {string} text */
  async type(selector, text) {
    await this.page.locator(selector).pressSequentially(text);
  }

  /** @override @param {string} selector @param {string} key */
  async press(selector, key) {
    await this.page.locator(selector).press(key);
  }

  /** @override @param {string} selector @param {Point} from @param {Point} to */
  async drag(selector, from, to) {
    const target = this.page.locator(selector);
    await target.scrollIntoViewIfNeeded();
    const box = await target.boundingBox();
    if (!box) throw new Error(`${selector} has no place in the page`);
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await this.page.mouse.move(x + from.x, y + from.y);
    await this.page.mouse.down();
    await this.page.mouse.move(x + to.x, y + to.y, { steps: 5 });
    await this.page.mouse.up();
  }

  /** @override @param {string} selector @param {string[]} paths */
  async setFiles(selector, ...paths) {
    await this.page.locator(selector).setInputFiles(paths);
  }

  /** @override @template A, R @param {(argument: A) => R} code @param {A} [argument] @returns {Promise<Awaited<R>>} */
  evaluate(code, argument) {
    return /** @type {Promise<any>} */ (this.page.evaluate(/** @type {any} */ (code), argument));
  }

  /** @override */
  async close() {
    await this.context.close();
    if (this.scratch) await rm(this.scratch, { recursive: true, force: true });
  }
}
