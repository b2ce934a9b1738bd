// One line that always says what is happening, with a bar while something can be counted.

import { byId, inBytes } from "./dom.js";
import { Rate, inTime } from "./rate.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("../shared/protocol.js").FetchEvent} FetchEvent */

/** Loading that takes longer than this can be called off, ms: before, the button would only flicker. */
const CANCEL_AFTER = 800;

export class StatusBar {
  #status = byId("status", HTMLElement);
  #text = byId("status-text", HTMLElement);
  #bar = byId("progress", HTMLProgressElement);
  #announcer = byId("announcer", HTMLElement);
  #cancel = byId("cancel-loading", HTMLButtonElement);
  #rate = new Rate();
  #since = 0;
  #phase = "";

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.addEventListener("change", () => this.#render());
    session.addEventListener("progress", () => this.#render());
    this.#cancel.addEventListener("click", () => session.cancelLoading());
    this.#render();
  }

  #render() {
    const { phase } = this.session;
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#rate.reset();
      this.#since = performance.now();
      if (phase === "loading") setTimeout(() => this.#render(), CANCEL_AFTER);
      this.#status.dataset.state = phase;
      // Only changes of phase are spoken; the numbers are for the eye. Answers and errors speak themselves.
      if (phase !== "generating" && phase !== "error") this.#announcer.textContent = this.#words();
    }
    this.#text.textContent = this.#words();
    const part = this.#part();
    this.#cancel.hidden = phase !== "loading" || performance.now() - this.#since < CANCEL_AFTER;
    this.#bar.hidden = phase !== "loading" && phase !== "encoding";
    if (part === null) this.#bar.removeAttribute("value");
    else this.#bar.value = part;
  }

  /** How much of the present phase is done, 0 to 1, where that is known. */
  #part() {
    const { progress } = this.session;
    const counted = progress?.type === "fetch" && progress.done >= progress.total && progress.compiled ? progress.compiled : progress;
    return counted && "total" in counted && counted.total > 0 ? counted.done / counted.total : null;
  }

  #words() {
    const { phase, progress, picture, offer, plan } = this.session;
    const percent = Math.round((this.#part() ?? 0) * 100);
    switch (phase) {
      case "loading":
        if (progress?.type === "fetch") return this.#fetching(progress);
        if (this.session.recovering) return "The GPU was lost. Starting it again; the conversation will go on…";
        return plan ? "Preparing…" : "Starting: reading what the model is…";
      case "waiting":
        if (!offer) return "Stopped: no model is loaded.";
        return "This model is large: nothing is downloaded before you say so.";
      case "ready":
        return picture ? "Ready: ask about the picture." : "Ready: show it a picture.";
      case "measuring":
        return "Measuring how fast this is here…";
      case "encoding":
        return `Reading the picture: ${percent} %`;
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
    const again = this.session.recovering ? "The GPU was lost; loading again. " : "";
    const verb = { network: "Downloading", store: "Loading what is kept", files: "Reading your files" }[from];
    const bytes = `${again}${shaders}${verb}: ${inBytes(done)} of ${inBytes(total)}`;
    if (waiting) return `${bytes}. ${waiting}`;
    const speed = from === "network" ? this.#rate.perSecond : 0;
    return speed ? `${bytes}, ${inBytes(speed)}/s, about ${inTime((total - done) / speed)} left` : bytes;
  }

  /** @param {number} tokens */
  #speed(tokens) {
    return tokens > 1 ? `: ${tokens} tokens` : "…";
  }
}
