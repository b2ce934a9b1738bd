// The status line: what the page is doing, with a progress bar where progress is known.

import { byId } from "./dom.js";
import { DownloadRate } from "./download-rate.js";
import { formatBytes, formatDuration } from "./format.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("../shared/protocol.js").FetchEvent} FetchEvent */

/** Time after which loading shows its Cancel button, ms: earlier the button would only flicker. */
const CANCEL_AFTER = 800;

/** Rounds a remaining time up to steps of 5 s, so that it does not change with every report.
 * @param {number} seconds @returns {number} ms */
const roundedUp = (seconds) => Math.max(1, Math.ceil(seconds / 5)) * 5000;

export class StatusBar {
  #status = byId("status", HTMLElement);
  #text = byId("status-text", HTMLElement);
  #bar = byId("progress", HTMLProgressElement);
  #announcer = byId("announcer", HTMLElement);
  #cancel = byId("cancel-loading", HTMLButtonElement);
  #rate = new DownloadRate();
  #since = 0;
  #phase = "";

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.activity.addEventListener("change", () => this.#render());
    session.activity.addEventListener("progress", () => this.#render());
    this.#cancel.addEventListener("click", () => session.loading.cancel());
    this.#render();
  }

  #render() {
    const { phase } = this.session.activity;
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#rate.reset();
      this.#since = performance.now();
      if (phase === "loading") setTimeout(() => this.#render(), CANCEL_AFTER);
      this.#status.dataset.state = phase;
      // Screen readers hear changes of phase, not the numbers. Answers and errors are announced by their own elements.
      if (phase !== "generating" && phase !== "error") this.#announcer.textContent = this.#message();
    }
    this.#text.textContent = this.#message();
    const fraction = this.#fraction();
    this.#cancel.hidden = phase !== "loading" || performance.now() - this.#since < CANCEL_AFTER;
    this.#bar.hidden = phase !== "loading" && phase !== "encoding";
    if (fraction === null) this.#bar.removeAttribute("value");
    else this.#bar.value = fraction;
  }

  /** Returns the completed fraction of the present phase, 0 to 1; `null` where it is unknown. */
  #fraction() {
    const { progress } = this.session.activity;
    const counted = progress?.type === "fetch" && progress.done >= progress.total && progress.compiled ? progress.compiled : progress;
    return counted && "total" in counted && counted.total > 0 ? counted.done / counted.total : null;
  }

  #message() {
    const { picture, activity, loading } = this.session;
    const { phase, progress } = activity;
    const percent = Math.round((this.#fraction() ?? 0) * 100);
    switch (phase) {
      case "loading":
        if (progress?.type === "fetch") return this.#fetching(progress);
        if (loading.recovering) return "The GPU was lost. Restarting the model; the conversation will continue…";
        return loading.plan ? "Preparing…" : "Starting: reading the model's description…";
      case "waiting":
        if (!loading.offer) return "Stopped: no model is loaded.";
        return "This model is large: nothing is downloaded before you agree.";
      case "ready":
        return picture ? "Ready: ask about the picture." : "Ready: choose a picture, or ask without one.";
      case "measuring":
        return "Measuring the speed on this machine…";
      case "encoding":
        if (progress?.type !== "encode" || progress.total < 2) return `Reading the picture: ${percent} %`;
        return `Reading the picture: tile ${Math.min(progress.done + 1, progress.total)} of ${progress.total}`;
      case "generating":
        if (progress?.type === "token") return `Answering${this.#speed(progress.count)}`;
        return progress ? `Reading the question: ${percent} %` : "Reading the question…";
      case "error":
        return "Something went wrong.";
    }
  }

  /** @param {FetchEvent} event */
  #fetching({ done, total, received, from, waiting, compiled }) {
    const shaders = compiled && compiled.done < compiled.total ? `Compiling shaders: ${compiled.done} of ${compiled.total}. ` : "";
    if (done >= total) return shaders || "Preparing the model…";
    this.#rate.add(received);
    const { loading } = this.session;
    const again = loading.recovering ? "The GPU was lost; loading again. " : "";
    const verb = { network: "Downloading", store: "Loading the saved model", files: "Reading your files" }[from];
    const bytes = `${again}${shaders}${verb}: ${formatBytes(done)} of ${formatBytes(total)}`;
    if (waiting) return `${bytes}. ${waiting}`;
    const speed = from === "network" ? this.#rate.perSecond : 0;
    return speed ? `${bytes}, ${formatBytes(speed)}/s, about ${formatDuration(roundedUp((total - done) / speed))} left` : bytes;
  }

  /** @param {number} tokens */
  #speed(tokens) {
    return tokens > 1 ? `: ${tokens} tokens` : "…";
  }
}
