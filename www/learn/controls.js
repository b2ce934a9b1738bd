// The buttons of the run, and the line that says how far it is.

import { byId } from "../page/dom.js";

/** @typedef {import("./run.js").LearnRun} LearnRun */

/** The slowest and the fastest learning rate, as a multiple of the recipe's. */
const SLOWEST = 1 / 8;
const FASTEST = 8;

/** Returns minutes and seconds. @param {number} seconds */
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export class Controls {
  #go = byId("go", HTMLButtonElement);
  #stage2 = byId("stage-2", HTMLButtonElement);
  #restart = byId("restart", HTMLButtonElement);
  #slower = byId("slower", HTMLButtonElement);
  #faster = byId("faster", HTMLButtonElement);
  #another = byId("another-scene", HTMLButtonElement);
  #seed = byId("seed", HTMLInputElement);
  #status = byId("status", HTMLElement);
  #progress = byId("progress", HTMLProgressElement);
  #rate = byId("rate", HTMLOutputElement);

  /** @param {LearnRun} run @param {number} scene */
  constructor(run, scene) {
    this.run = run;
    this.scene = scene;
    this.#go.addEventListener("click", () => (run.phase === "training" ? run.pause() : run.resume()));
    this.#stage2.addEventListener("click", () => run.begin(2));
    this.#restart.addEventListener("click", () => {
      this.#seed.value = String((Number(this.#seed.value) || 0) + 1);
      run.start(Number(this.#seed.value), this.scene);
    });
    this.#seed.addEventListener("change", () => run.start(Number(this.#seed.value), this.scene));
    this.#slower.addEventListener("click", () => run.setRate(run.factor / 2));
    this.#faster.addEventListener("click", () => run.setRate(run.factor * 2));
    this.#another.addEventListener("click", () => run.show((this.scene += 1)));
    run.addEventListener("change", () => this.#show());
    this.#show();
  }

  #show() {
    const { phase, stage, last, factor, failure, exams, workers } = this.run;
    const able = ["ready", "training", "paused"].includes(phase);
    this.#go.disabled = !able;
    this.#go.textContent = phase === "training" ? "Pause" : phase === "paused" ? "Resume" : "Start";
    this.#stage2.disabled = !(phase === "done" || phase === "paused");
    this.#slower.disabled = !able || factor <= SLOWEST;
    this.#faster.disabled = !able || factor >= FASTEST;
    this.#another.disabled = !able && phase !== "done";
    this.#rate.value = `× ${factor}`;
    this.#progress.value = last?.done ?? 0;
    this.#status.dataset.phase = phase;
    const exam = exams.at(-1);
    const right = exam ? ` Held-out captions right: ${exam.right} of ${exam.all} (${Math.round((exam.right / Math.max(1, exam.all)) * 100)} %).` : "";
    if (failure?.missing) this.#status.textContent = "The module that trains is not built here: ./build.sh learn builds it, in some minutes.";
    else if (failure) this.#status.textContent = `The run has ended: ${failure.message}`;
    else if (phase === "loading") this.#status.textContent = "Loading Burn and the model, and looking at pictures of the training scenes…";
    else if (phase === "ready") this.#status.textContent = `Ready: the tower and the decoder of the small model, and a fresh connector; ${workers} ${workers === 1 ? "thread" : "threads"}.${right}`;
    else if (last) {
      const end = phase === "done" ? `Stage ${stage} is over after ${clock(last.seconds)}` : `Stage ${stage}, ${clock(last.left)} left`;
      this.#status.textContent = `${end}: step ${last.step}, loss ${last.loss.toFixed(2)}, ${last.perSecond.toFixed(2)} steps per second.${right}`;
    }
  }
}
