// What every browser test needs: our own static server, a real Chromium, and a page that is watched.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const here = path.dirname(fileURLToPath(import.meta.url));
export const repository = path.resolve(here, "../..");
export const www = path.join(repository, "www");

/** Where `./build.sh build` puts the server, unless it says otherwise. */
export const BIN = process.env.LLAVA_BIN ?? path.resolve(repository, process.env.CARGO_TARGET_DIR ?? "target", "debug");
export const CHROMIUM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

/** Flags that stop a browser's own background requests. */
const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--no-default-browser-check"];
/** WebGPU on a software adapter: the only flags a visitor would not have. */
const SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

// Chromium's sandbox refuses to run as root, which CI containers do.
const SANDBOX = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
/** What a Chromium with a software GPU is started with. */
export const FLAGS = ["--headless=new", ...SANDBOX, ...QUIET, ...SOFTWARE_GPU];

/** Longest wait for the model to load or answer on two busy cores, ms. */
export const PATIENCE = 120_000;

/** With or without it. @param {boolean} gpu */
export const chromiumFlags = (gpu) => (gpu ? FLAGS : FLAGS.filter((flag) => !SOFTWARE_GPU.includes(flag)));

/** @param {{ gpu: boolean }} options */
export function launch({ gpu }) {
  assert(CHROMIUM, "no Chromium: ./build.sh test installs one, or set CHROMIUM");
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: chromiumFlags(gpu) });
}

/** Writes what a host serves, with the version in its addresses.
 * @param {string} from a page like www/ @param {string} to */
export const writeSite = (from, to) => void execFileSync(path.join(repository, "build.sh"), ["site", from, to], { stdio: "pipe" });

/**
 * Our server on a free port.
 * @param {string} root
 * @param {string[]} more
 */
export async function serve(root = www, more = []) {
  const child = spawn(path.join(BIN, "serve"), ["--root", root, "--port", "0", ...more], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    let seen = "";
    child.stdout.on("data", (data) => {
      seen += data;
      const found = /http:\/\/[^/\s]+\//.exec(seen);
      if (found) resolve(found[0]);
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`serve ended with ${code}`)));
  });
  return {
    url: /** @type {string} */ (url),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill();
      await gone;
    },
  };
}

/**
 * A copy of www/ made of links, in which `replace` puts other things in the place of some names.
 * @param {(root: string) => Promise<void>} replace
 */
export async function rootWith(replace) {
  const root = await mkdtemp(path.join(tmpdir(), "llava-www-"));
  for (const name of await readdir(www)) await symlink(path.join(www, name), path.join(root, name));
  await replace(root);
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}

/** The smallest WebAssembly: the stand-in needs no code. */
const EMPTY_WASM = Buffer.from("\0asm\x01\0\0\0", "latin1");

/** A root whose engine is the stand-in and whose model is `parts` small files.
 * @param {object} [manifest] more fields of the manifest */
export function fakeRoot(manifest = {}) {
  return rootWith(async (root) => {
    for (const name of ["pkg", "models"]) await rm(path.join(root, name), { force: true });
    await cp(path.join(here, "fake"), path.join(root, "pkg"), { recursive: true });
    await writeFile(path.join(root, "pkg/llava_web_bg.wasm"), EMPTY_WASM);
    await mkdir(path.join(root, "models/scenes"), { recursive: true });
    const contents = Array.from({ length: 6 }, (_, index) => Buffer.alloc(1000, index));
    const parts = contents.map((bytes, index) => ({ index, file: `${index}.bin`, offset: 0, bytes: 1000, sha256: createHash("sha256").update(bytes).digest("hex") }));
    const plan = { name: "A stand-in", parameters: 1e6, parts, total_bytes: 6000, context: 512, ...manifest };
    await writeFile(path.join(root, "models/scenes/manifest.json"), JSON.stringify(plan));
    for (const [index, bytes] of contents.entries()) await writeFile(path.join(root, "models/scenes", `${index}.bin`), bytes);
  });
}

/** Serves such a root, and runs `body` with it and a browser without a GPU.
 * @param {object} manifest
 * @param {(it: { browser: import("playwright-core").Browser, url: string, root: string }) => Promise<void>} body */
export async function withFake(manifest, body) {
  const { root, remove } = await fakeRoot(manifest);
  const server = await serve(root);
  const browser = await launch({ gpu: false });
  try {
    await body({ browser, url: server.url, root });
  } finally {
    await browser.close();
    await server.stop();
    await remove();
  }
}

/**
 * A watched page: every request, console error, policy violation and uncaught exception is recorded.
 * @param {import("playwright-core").Browser} browser
 * @param {string} url
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  /** @type {string[]} */ const requests = [];
  /** @type {string[]} */ const complaints = [];
  context.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    if (/content security policy|trusted type/i.test(message.text())) complaints.push(message.text());
  });
  await page.goto(url);
  return new Visit(context, page, requests, complaints);
}

/** Seconds after which a page of `impatiently` gives up a connection that brings nothing, in place of 30. */
export const STALL_SECONDS = 6;

/** Lets the pages of a context, and their workers, give up sooner what a host does not send.
 * @param {import("playwright-core").BrowserContext} context */
export async function impatiently(context) {
  await context.route("**/shared/async.js", async (route) => {
    const response = await route.fetch();
    const [text, line] = [await response.text(), "STALL_TIMEOUT = 30_000;"];
    assert(text.includes(line));
    await route.fulfill({ response, body: text.replace(line, `STALL_TIMEOUT = ${STALL_SECONDS}_000;`) });
  });
}

/** The page as a person sees it. */
export class Visit {
  /**
   * @param {import("playwright-core").BrowserContext} context @param {import("playwright-core").Page} page
   * @param {string[]} requests @param {string[]} complaints
   */
  constructor(context, page, requests, complaints) {
    Object.assign(this, { requests, complaints });
    this.context = context;
    this.page = page;
    this.requests = requests;
    this.complaints = complaints;
  }

  /** @param {string} id */
  at(id) {
    return this.page.getByTestId(id);
  }

  /** Waits until the status is one of `states`; a state of error ends the wait with the page's own words.
   * @param {...string} states */
  async reaches(...states) {
    const wanted = [...states, "error"].map((state) => `[data-testid=status][data-state=${state}]`).join(",");
    await this.page.locator(wanted).first().waitFor();
    if (!states.includes("error")) assert(await this.at("error").isHidden(), await this.errorText());
  }

  async errorText() {
    return (await this.at("error").isVisible()) ? this.at("error").innerText() : "(no error shown)";
  }

  /** @param {string | { name: string, mimeType: string, buffer: Buffer }} file */
  async show(file) {
    await this.at("image-input").setInputFiles(file);
  }

  /** Begins a new conversation, with this picture. @param {string | { name: string, mimeType: string, buffer: Buffer }} file */
  async showAlone(file) {
    await this.page.locator("#new-chat").click();
    await this.page.locator("#frame[data-state=empty]").waitFor();
    await this.show(file);
  }

  /** Asks, waits for the end, and gives the answer's text. @param {string} question */
  async ask(question) {
    await this.at("question").fill(question);
    await this.at("send").click();
    return this.answered();
  }

  /** @param {string} state how the last answer must have ended */
  async answered(state = "done") {
    const last = this.at("answer").last();
    await this.page.locator("[data-testid=answer][data-state=streaming]").waitFor({ state: "detached" });
    const ended = await last.getAttribute("data-state");
    assert.equal(ended, state, `the answer ended as ${ended}: ${await this.errorText()}`);
    return (await last.innerText()).trim();
  }

  /** Waits until the service worker has cached the page, and its model is stored. */
  async savedForOffline() {
    await this.page.locator("#machine", { hasText: "everything is saved" }).waitFor({ state: "attached" });
  }

  async close() {
    await this.context.close();
  }
}
