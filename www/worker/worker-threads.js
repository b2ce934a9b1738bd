// The engine's worker with a build for threads, which share its memory. Both builds for threads have this JavaScript.

import * as build from "../pkg/threads/llava_web.js";
import { startEngineWorker } from "./engine-calls.js";
// Imported here so that these modules are requested together with the others, not one round trip later per level.
import "./cached-source.js";
import "./http-source.js";
import "./model-cache.js";

startEngineWorker(build);
