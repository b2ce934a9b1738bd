// The engine's worker with a build for threads, which share its memory. Both builds for threads have this JavaScript.

import * as build from "../pkg/threads/llava_web.js";
import { startEngineWorker } from "./engine-calls.js";
// Imported here so that these modules are requested together with the others, not one round trip later per level.
import "../pkg/builds.js";
import "../shared/adapter.js";
import "../shared/address.js";
import "../shared/async.js";
import "../shared/failure.js";
import "../shared/messenger.js";
import "../shared/threads.js";
import "./buffer-pool.js";
import "./cached-source.js";
import "./fetch-parts.js";
import "./file-info.js";
import "./file-source.js";
import "./folders.js";
import "./grammar.js";
import "./http-source.js";
import "./http.js";
import "./loader.js";
import "./model-cache.js";
import "./opfs-write.js";
import "./opfs.js";
import "./permission.js";
import "./progress.js";
import "./retry.js";
import "./tab-locks.js";
import "./thread-pool.js";

startEngineWorker(build);
