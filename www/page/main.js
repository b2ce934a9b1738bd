// The page: makes the components and joins them. Read session.js for what happens.

import { Failure } from "../shared/failure.js";
import { Camera } from "./camera.js";
import { Composer } from "./composer.js";
import { byId, inBytes } from "./dom.js";
import { DrawingPad } from "./drawing-pad.js";
import { ErrorBox } from "./error-box.js";
import { Examples } from "./examples.js";
import { Machine } from "./machine.js";
import { keepForOffline } from "./offline.js";
import { PictureBox } from "./picture-box.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { StatusBar } from "./status-bar.js";
import { Transcript } from "./transcript.js";

/** The model that is shipped with the page. */
const SHIPPED = "models/scenes/manifest.json";

const query = new URLSearchParams(location.search);
const settings = new Settings(query, () => session.open());
const session = new Session(new URL(query.get("model") ?? SHIPPED, document.baseURI).href, () => settings.current);

new StatusBar(session);
new Machine(session);
new Transcript(session);
new ErrorBox(session, () => settings.useBackend("cpu"));
const composer = new Composer(session);

const pad = new DrawingPad(take);
/** @param {boolean} drawing */
function draw(drawing) {
  byId("mode-draw", HTMLElement).setAttribute("aria-pressed", String(drawing));
  byId("mode-picture", HTMLElement).setAttribute("aria-pressed", String(!drawing));
  byId("frame", HTMLElement).hidden = drawing;
  pad.show(drawing);
}
byId("mode-draw", HTMLElement).addEventListener("click", () => draw(true));
byId("mode-picture", HTMLElement).addEventListener("click", () => draw(false));

/** A picture, from wherever: shown, and read while the person types.
 * @param {Blob} blob @param {string} name @param {string[]} [questions] */
function take(blob, name, questions = Examples.general) {
  draw(false);
  composer.suggest(questions);
  session.show(blob, name);
  // On a touch screen this would raise the keyboard over the picture.
  if (matchMedia("(pointer: fine)").matches) byId("question", HTMLElement).focus({ preventScroll: true });
}
new PictureBox(session, take);
new Camera(take);
new Examples(take, (thrown) => session.fail(Failure.from(thrown, "example"), "example", () => session.dismiss()));

// What the shipped model cannot do is said only of the shipped model.
byId("intro-limits", HTMLElement).hidden = query.has("model");
byId("consent-load", HTMLButtonElement).addEventListener("click", () => session.load());
session.addEventListener("change", () => {
  const { awaitsConsent, plan, report } = session;
  byId("consent", HTMLElement).hidden = !awaitsConsent || !plan;
  if (!awaitsConsent || !plan) return;
  const where = report?.backend === "cpu" ? "memory" : "graphics memory";
  byId("consent-text", HTMLElement).textContent =
    `${plan.name} is a download of ${inBytes(plan.total_bytes)} and needs about as much ${where} while it runs.`;
});

await session.open();
keepForOffline(session);
