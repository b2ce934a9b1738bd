// One line that always says what is happening, with a bar while something can be counted.

import { byId, inBytes } from "./dom.js";

/** @typedef {import("./session.js").Session} Session */

export class StatusBar {
  #status = byId("status", HTMLElement);
  #text = byId("status-text", HTMLElement);
  #bar = byId("progress", HTMLProgressElement);
  #announcer = byId("announcer", HTMLElement);
  #began = 0;
  #phase = "";

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    session.addEventListener("change", () => this.#render());
    session.addEventListener("progress", () => this.#render());
    this.#render();
  }

  #render() {
    const { phase } = this.session;
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#began = performance.now();
      this.#status.dataset.state = phase;
      // Only changes of phase are spoken; the numbers are for the eye. Answers and errors speak themselves.
      if (phase !== "generating" && phase !== "error") this.#announcer.textContent = this.#words();
    }
    this.#text.textContent = this.#words();
    const part = this.#part();
    this.#bar.hidden = phase !== "loading" && phase !== "encoding";
    if (part === null) this.#bar.removeAttribute("value");
    else this.#bar.value = part;
  }

  /** How much of the present phase is done, 0 to 1, where that is known. */
  #part() {
    const { progress } = this.session;
    return progress && "total" in progress && progress.total > 0 ? progress.done / progress.total : null;
  }

  #words() {
    const { phase, progress, picture, awaitsConsent } = this.session;
    const percent = Math.round((this.#part() ?? 0) * 100);
    switch (phase) {
      case "loading":
        if (awaitsConsent) return "This model is large: nothing is downloaded before you say so.";
        if (progress?.type !== "fetch") return "Starting…";
        if (progress.done >= progress.total) return "Preparing the model…";
        return `Loading the model: ${inBytes(progress.done)} of ${inBytes(progress.total)}${this.#rate(progress.done)}`;
      case "ready":
        return picture ? "Ready: ask about the picture." : "Ready: show it a picture.";
      case "encoding":
        return `Reading the picture: ${percent} %`;
      case "generating":
        if (progress?.type === "token") return `Answering${this.#speed(progress.count)}`;
        return progress ? `Reading the question: ${percent} %` : "Reading the question…";
      case "error":
        return "Something went wrong.";
    }
  }

  /** @param {number} bytes */
  #rate(bytes) {
    const seconds = (performance.now() - this.#began) / 1000;
    return seconds > 0.5 ? `, ${inBytes(bytes / seconds)}/s` : "";
  }

  /** @param {number} tokens */
  #speed(tokens) {
    return tokens > 1 ? `: ${tokens} tokens` : "…";
  }
}
