// Firefox, by WebDriver BiDi, which puppeteer speaks with it. Headless; WebGPU by Mesa's lavapipe.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import puppeteer from "puppeteer-core";
import { Driver, PATIENCE } from "./driver.mjs";

/** @typedef {import("./driver.mjs").Point} Point */

export const FIREFOX = process.env.FIREFOX ?? ["/usr/bin/firefox-esr", "/usr/bin/firefox"].find(existsSync);

const DRIVERS = "/usr/share/vulkan/icd.d";
/** Mesa's software driver, whatever else this machine has. */
const LAVAPIPE = existsSync(DRIVERS) ? readdirSync(DRIVERS).find((name) => name.startsWith("lvp_icd")) : undefined;

/** Not on by default on Linux; and adapters that are a CPU are on Firefox's list of those to avoid. */
const SOFTWARE_GPU = { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true };
const NO_GPU = { "dom.webgpu.enabled": false };
/** Settings that stop a browser's own requests. */
const QUIET = { "app.update.enabled": false, "network.captive-portal-service.enabled": false, "network.connectivity-service.enabled": false };

export class Firefox extends Driver {
  /** @param {import("./driver.mjs").Start} [start] */
  static async start({ gpu = false, profile, preferences } = {}) {
    if (!FIREFOX) throw new Error("no Firefox: ./build.sh test installs one, or set FIREFOX");
    const browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: FIREFOX,
      headless: true,
      protocolTimeout: 2 * PATIENCE,
      defaultViewport: null,
      args: ["--width=1200", "--height=900"],
      ...(profile && { userDataDir: profile }),
      env: { ...process.env, ...(LAVAPIPE && { VK_DRIVER_FILES: path.join(DRIVERS, LAVAPIPE) }) },
      extraPrefsFirefox: { ...QUIET, ...(gpu ? SOFTWARE_GPU : NO_GPU), ...preferences },
    });
    return new Firefox(browser, (await browser.pages())[0] ?? (await browser.newPage()));
  }

  /** @param {import("puppeteer-core").Browser} browser @param {import("puppeteer-core").Page} page */
  constructor(browser, page) {
    super();
    this.browser = browser;
    this.page = page;
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", (error) => this.complaints.push(`uncaught: ${error instanceof Error ? error.message : error}`));
    page.on("console", (message) => {
      if (/content.security.policy|trusted type/i.test(message.text())) this.complaints.push(message.text());
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
    await this.page.focus(selector);
    await this.page.keyboard.type(text);
  }

  /** @override @param {string} selector @param {string} key */
  async press(selector, key) {
    await this.page.focus(selector);
    await this.page.keyboard.press(/** @type {import("puppeteer-core").KeyInput} */ (key));
  }

  /** @override @param {string} selector @param {Point} from @param {Point} to */
  async drag(selector, from, to) {
    const box = await this.page.$eval(selector, (element) => {
      element.scrollIntoView({ block: "nearest" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    });
    await this.page.mouse.move(box.x + from.x, box.y + from.y);
    await this.page.mouse.down();
    await this.page.mouse.move(box.x + to.x, box.y + to.y, { steps: 5 });
    await this.page.mouse.up();
  }

  /** @override @param {string} selector @param {string[]} paths */
  async setFiles(selector, ...paths) {
    const input = /** @type {import("puppeteer-core").ElementHandle<HTMLInputElement> | null} */ (await this.page.$(selector));
    if (!input) throw new Error(`there is no ${selector}`);
    await input.uploadFile(...paths);
  }

  /** @override @template A, R @param {(argument: A) => R} code @param {A} [argument] @returns {Promise<Awaited<R>>} */
  evaluate(code, argument) {
    return /** @type {Promise<any>} */ (this.page.evaluate(/** @type {any} */ (code), argument));
  }

  /** @override */
  async close() {
    await this.browser.close();
  }
}
