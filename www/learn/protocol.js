// What the page and its training workers say to each other.

/** 3 is stage 2 with a person's pictures. @typedef {1 | 2 | 3} Stage */

/** A question about the held-out scene, and the model's present answer.
 * @typedef {{ question: string, expected: string, given: string, right: boolean }} Answered */

/** Length of a stage: seconds without pauses, or steps where these are not 0.
 * @typedef {{ seconds: number, steps: number }} Budget */

/** Addresses of the model's folder and of the workers' own place in the run.
 * @typedef {object} Start
 * @property {"start"} type
 * @property {string} model  address of the folder of the model's manifest, with a slash at the end
 * @property {boolean} fresh  whether the connector is replaced by one that is drawn from the seed
 * @property {number} seed
 * @property {number} pictures  per batch
 * @property {Budget} budget
 * @property {number} scene  index of the held-out scene
 * @property {MessagePort[]} ports  of the leader: one to each helper; of a helper: one, to the leader
 * @property {boolean} leader */

/** A file of the trained model. @typedef {{ name: string, bytes: Uint8Array<ArrayBuffer> }} ModelFile */

/** What the page asks of the leader. A rate is a multiple of the recipe's.
 * @typedef {Start | { type: "pause" } | { type: "resume" } | { type: "rate", factor: number }
 *   | { type: "stage", stage: Stage } | { type: "scene", scene: number }
 *   | { type: "own", pictures: Uint8Array<ArrayBuffer>[], words: string[] }
 *   | { type: "write", name: string } | { type: "question", picture: Uint8Array<ArrayBuffer>, question: string }} Request */

/** What the leader tells the page. Seconds are those of the stage, without pauses.
 * @typedef {{ type: "picture", picture: Uint8Array<ArrayBuffer> }
 *   | { type: "ready", workers: number }
 *   | { type: "stage", stage: Stage }
 *   | { type: "step", step: number, loss: number, seconds: number, left: number, done: number, perSecond: number, norm: number }
 *   | { type: "answers", step: number, answers: Answered[] }
 *   | { type: "exam", step: number, right: number, all: number, last: boolean }
 *   | { type: "done", stage: Stage, step: number, seconds: number }
 *   | { type: "written", files: ModelFile[] }
 *   | { type: "answer", text: string }
 *   | { type: "source", files: Record<string, string> }
 *   | { type: "failure", message: string, missing: boolean }} Told */

/** What the leader asks of a helper, whose replies come in the same order.
 * @typedef {{ type: "gradients", index: number }
 *   | { type: "apply", gradients: Float32Array<ArrayBuffer>[], peak: number, fraction: number }
 *   | { type: "begin", stage: Stage }
 *   | { type: "own", pictures: Uint8Array<ArrayBuffer>[], words: string[] }
 *   | { type: "examine", first: number, count: number }} HelperRequest */

/** @typedef {{ values: Float32Array<ArrayBuffer>, loss: number }} BatchGradients */

export {};
