// The module of formats and scorers (src/benchmark/), and the files that it reads.

import { Failure } from "../shared/failure.js";

/** @typedef {typeof import("../pkg/benchmark/llava_benchmark.js")} Formats */
/** @typedef {import("../pkg/benchmark/llava_benchmark.js").BenchmarkRun} BenchmarkRun */
/** @typedef {import("../pkg/benchmark/llava_benchmark.js").PublishedFiles} PublishedFiles */
/** @typedef {import("../page/dropped-files.js").DroppedFile} DroppedFile */
/** A benchmark and one of its parts. @typedef {{ name: string, part: string }} Part */

/** @type {Promise<Formats> | null} */
let loading = null;

/** @returns {Promise<Formats>} */
async function load() {
  try {
    const formats = await import("../pkg/benchmark/llava_benchmark.js");
    await formats.default();
    return formats;
  } catch (thrown) {
    loading = null;
    throw new Failure({ kind: "engine", place: "pkg/benchmark", message: String(thrown), hint: "Check the connection, then retry." }, thrown);
  }
}

/** Returns the module; it is loaded once. */
export const formats = () => (loading ??= load());

/** A folder with the files of a benchmark. Paths are relative to it. */
export class BenchmarkFolder {
  /** @param {string} name @param {PublishedFiles} published @param {Map<string, File>} files @param {Part[]} found */
  constructor(name, published, files, found) {
    this.name = name;
    this.published = published;
    this.files = files;
    /** Benchmarks whose question files it has, those with labels first. */
    this.found = found;
  }

  /** Reads the names of the files. A folder that all lie in is left out of their paths, unless the benchmark's own names
   * begin with it.
   * @param {DroppedFile[]} list @returns {Promise<BenchmarkFolder>} */
  static async of(list) {
    const { PublishedFiles } = await formats();
    const roots = new Set(list.map(({ path }) => (path.includes("/") ? path.slice(0, path.indexOf("/")) : "")));
    const root = roots.size === 1 ? ([...roots][0] ?? "") : "";
    const make = (/** @type {number} */ skip) => {
      const published = new PublishedFiles();
      const files = new Map(list.map(({ path, file }) => [path.slice(skip), file]));
      for (const path of files.keys()) published.add(path);
      return new BenchmarkFolder(root || `${list.length} files`, published, files, published.recognise());
    };
    const inside = make(root ? root.length + 1 : 0);
    const whole = root && !inside.found.length ? make(0) : inside;
    return whole.found.length ? whole : inside;
  }

  /** Reads a benchmark. Its question files are read when they are wanted; pictures never are.
   * @param {Part} part @returns {Promise<BenchmarkRun>} */
  async open({ name, part }) {
    for (;;) {
      try {
        return this.published.open(name, part);
      } catch (thrown) {
        const wanted = this.published.wanted();
        if (!wanted.length) throw Failure.from(thrown, name);
        for (const path of wanted) this.published.add(path, await this.#read(path));
      }
    }
  }

  /** Checks that the pictures of the first `limit` questions are there. @param {BenchmarkRun} run @param {number} limit */
  checkPictures(run, limit) {
    try {
      this.published.checkPictures(run, limit);
    } catch (thrown) {
      throw Failure.from(thrown, this.name);
    }
  }

  /** @param {string} path */
  async #read(path) {
    try {
      return new Uint8Array(await /** @type {File} */ (this.files.get(path)).arrayBuffer());
    } catch (thrown) {
      throw new Failure({ kind: "file", place: path, message: `cannot be read: ${thrown instanceof Error ? thrown.message : thrown}`, hint: "Choose the folder again." }, thrown);
    }
  }
}
