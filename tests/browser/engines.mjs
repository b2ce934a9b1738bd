// The browser engines that a visitor may come with, each on every backend that it has here.

import { Chromium } from "./driver/chromium.mjs";
import { Firefox } from "./driver/firefox.mjs";
import { WebKit } from "./driver/webkit.mjs";

/** @typedef {import("./driver/driver.mjs").Driver} Driver */
/** @typedef {import("./driver/driver.mjs").Start} Start */

/**
 * @typedef {object} Engine
 * @property {string} name
 * @property {"webgpu" | "cpu"} backend
 * @property {string} query  asks for that backend; where there is no WebGPU the CPU is taken unasked
 * @property {boolean} profiles  whether a profile can be kept from one start to the next
 * @property {(profile?: string) => Promise<Driver>} start
 */

/** @param {string} name @param {{ start: (start?: Start) => Promise<Driver> }} browser @param {boolean} gpu
 * @param {boolean} [profiles] @returns {Engine} */
const engine = (name, browser, gpu, profiles = true) => ({
  name,
  profiles,
  backend: gpu ? "webgpu" : "cpu",
  query: gpu ? "?backend=webgpu" : "",
  start: (profile) => browser.start({ gpu, profile }),
});

/** @type {Engine[]} */
const ALL = [
  engine("Chromium, CPU", Chromium, false),
  engine("Chromium, WebGPU (SwiftShader)", Chromium, true),
  engine("Firefox, CPU", Firefox, false),
  engine("Firefox, WebGPU (lavapipe)", Firefox, true),
  engine("WebKitGTK, CPU", WebKit, false, false),
];

/** Those whose name has one of the words of LLAVA_BROWSERS in it; without that, all. */
const wanted = (process.env.LLAVA_BROWSERS ?? "").split("|").filter(Boolean);
export const ENGINES = ALL.filter(({ name }) => !wanted.length || wanted.some((word) => name.includes(word)));
