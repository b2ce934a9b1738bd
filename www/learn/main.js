// The page learn.html: a small LLaVA learns to see in this tab.

import { byId } from "../page/dom.js";
import { Controls } from "./controls.js";
import { HeldOut } from "./held-out.js";
import { Keep } from "./keep.js";
import { LossCurve } from "./loss-curve.js";
import { OwnPictures } from "./own-pictures.js";
import { LearnRun } from "./run.js";
import { SourceView } from "./source-view.js";

const asked = new URLSearchParams(location.search);
/** A stage's length, unless the address says otherwise, minutes. */
const MINUTES = 5;
/** Pictures per batch and worker, unless the address says otherwise. */
const PICTURES = 4;
const scene = Number(asked.get("scene") ?? 3);

const seed = Number(asked.get("seed") ?? 1);

const budget = { seconds: (Number(asked.get("minutes")) || MINUTES) * 60, steps: Number(asked.get("steps")) || 0 };
const run = new LearnRun(budget, Number(asked.get("pictures")) || PICTURES);
new LossCurve(byId("curve", SVGSVGElement), run);
new HeldOut(run);
new Controls(run, scene);
new OwnPictures(run, () => run.start(seed, scene, false));
new Keep(run);
new SourceView(run);
run.start(seed, scene);
addEventListener("pagehide", () => run.stop());
addEventListener("pageshow", (event) => {
  // A page from the browser's history has lost its workers.
  if (event.persisted) location.reload();
});
