// WebKitGTK, Safari's engine: its MiniBrowser, by plain W3C WebDriver calls, on a screen that is not there (Xvfb). Has
// no WebGPU; under automation a profile lasts as long as the browser, and there is no private file system.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { Driver, PATIENCE } from "./driver.mjs";

/** @typedef {import("./driver.mjs").Point} Point */
/** @typedef {import("node:child_process").ChildProcess} Process */

export const MINI_BROWSER = process.env.MINI_BROWSER ?? [process.arch === "arm64" ? "aarch64" : "x86_64"].map((machine) => `/usr/lib/${machine}-linux-gnu/webkit2gtk-4.1/MiniBrowser`).find(existsSync);

/** How WebDriver names a reference to an element. */
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
/** Keys that have no character of their own. */
const KEYS = { Enter: "\uE007", Escape: "\uE00C", ArrowLeft: "\uE012", ArrowUp: "\uE013", ArrowRight: "\uE014", ArrowDown: "\uE015" };

/** A port that is free now. @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  return port;
}

/** Starts an Xvfb on a free display. @returns {Promise<{ screen: Process, display: string }>} */
async function xvfb() {
  const screen = spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"], { stdio: ["ignore", "pipe", "ignore"] });
  const number = await new Promise((resolve, reject) => {
    screen.stdout?.once("data", (data) => resolve(String(data).trim()));
    screen.once("error", reject);
    screen.once("exit", (code) => reject(new Error(`Xvfb ended with ${code}`)));
  });
  return { screen, display: `:${number}` };
}

export class WebKit extends Driver {
  /** @type {Process[]} */
  #processes = [];
  #session = "";

  /** @param {import("./driver.mjs").Start} [start] */
  static async start({ gpu = false, profile } = {}) {
    if (!MINI_BROWSER) throw new Error("no WebKitGTK: ./build.sh test installs one, or set MINI_BROWSER");
    if (gpu || profile) throw new Error("WebKitGTK under automation has neither WebGPU nor a profile that is kept");
    const driver = new WebKit();
    try {
      await driver.#start(MINI_BROWSER);
    } catch (thrown) {
      await driver.close();
      throw thrown;
    }
    return driver;
  }

  /** @param {string} binary */
  async #start(binary) {
    const { screen, display } = await xvfb();
    this.#processes.push(screen);
    const port = await freePort();
    // Its sandbox needs a user that is not root, which CI containers have not.
    // Isolated pages share memory in Safari; the GTK port leaves that switched off.
    const environment = { ...process.env, DISPLAY: display, GDK_BACKEND: "x11", NO_AT_BRIDGE: "1", JSC_useSharedArrayBuffer: "1", ...(process.getuid?.() === 0 && { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" }) };
    this.#processes.push(spawn("WebKitWebDriver", [`--port=${port}`], { stdio: ["ignore", "ignore", "ignore"], env: environment }));
    this.#session = `http://127.0.0.1:${port}`;
    const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": { binary, args: ["--automation"] } } };
    for (let tries = 0; ; tries++) {
      try {
        const { sessionId } = await this.#call("POST", "/session", { capabilities });
        this.#session += `/session/${sessionId}`;
        break;
      } catch (thrown) {
        if (tries === 100 || !(thrown instanceof TypeError)) throw thrown;
        await new Promise((resolve) => setTimeout(resolve, 50)); // it does not listen yet
      }
    }
    await this.#call("POST", "/timeouts", { script: 2 * PATIENCE, pageLoad: PATIENCE, implicit: 0 });
    await this.#call("POST", "/window/rect", { width: 1200, height: 1000 });
  }

  /** @param {"GET" | "POST" | "DELETE"} method @param {string} path @param {object} [body] @returns {Promise<any>} */
  async #call(method, path, body) {
    const response = await fetch(this.#session + path, { method, ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }) });
    const { value } = /** @type {{ value: any }} */ (await response.json());
    if (!response.ok) throw new Error(`WebDriver ${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }

  /** The path of an element. @param {string} selector */
  async #element(selector) {
    const found = await this.#call("POST", "/element", { using: "css selector", value: selector });
    return `/element/${found[ELEMENT]}`;
  }

  /** @override @param {string} address */
  async goto(address) {
    await this.#call("POST", "/url", { url: address });
  }

  /** @override */
  async reload() {
    await this.#call("POST", "/refresh", {});
  }

  /** @override @param {string} selector */
  async click(selector) {
    await this.until(`${selector} can be clicked`, (selector) => {
      const found = document.querySelector(selector);
      return Boolean(found?.checkVisibility() && !found.matches(":disabled"));
    }, selector);
    await this.#call("POST", `${await this.#element(selector)}/click`, {});
  }

  /** @override @param {string} selector @param {string} text */
  async type(selector, text) {
    await this.#call("POST", `${await this.#element(selector)}/value`, { text });
  }

  /** @override @param {string} selector @param {string} key */
  async press(selector, key) {
    await this.type(selector, KEYS[/** @type {keyof KEYS} */ (key)] ?? key);
  }

  /** @override @param {string} selector @param {Point} from @param {Point} to */
  async drag(selector, from, to) {
    const element = await this.#element(selector);
    const origin = { [ELEMENT]: element.slice("/element/".length) };
    await this.evaluate((selector) => document.querySelector(selector)?.scrollIntoView({ block: "nearest" }), selector);
    const actions = [
      { type: "pointerMove", duration: 0, origin, ...from },
      { type: "pointerDown", button: 0 },
      { type: "pointerMove", duration: 50, origin, ...to },
      { type: "pointerUp", button: 0 },
    ];
    await this.#call("POST", "/actions", { actions: [{ type: "pointer", id: "mouse", parameters: { pointerType: "mouse" }, actions }] });
  }

  /** @override @param {string} selector @param {string[]} paths */
  async setFiles(selector, ...paths) {
    await this.#call("POST", `${await this.#element(selector)}/value`, { text: paths.join("\n") });
  }

  /** @override @template A, R @param {(argument: A) => R} code @param {A} [argument] @returns {Promise<Awaited<R>>} */
  async evaluate(code, argument) {
    const script = `const done = arguments[1];
      Promise.resolve(arguments[0]).then(${code}).then((value) => done({ value }), (thrown) => done({ thrown: String(thrown?.stack && thrown.message ? thrown + "\\n" + thrown.stack : thrown) }));`;
    const { value, thrown } = await this.#call("POST", "/execute/async", { script, args: [argument ?? null] });
    if (thrown) throw new Error(thrown);
    return value ?? undefined;
  }

  /** @override */
  async close() {
    if (this.#session.includes("/session/")) await this.#call("DELETE", "").catch(() => {});
    // The driver first, then the screen.
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill();
      await gone;
    }
  }
}
