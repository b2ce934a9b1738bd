// The engine's worker with the build without threads.

import * as build from "../pkg/llava_web.js";
import { startEngineWorker } from "./engine-calls.js";
// Imported here so that these modules are requested together with the others, not one round trip later per level.
import "./cached-source.js";
import "./http-source.js";
import "./model-cache.js";

startEngineWorker(build);
