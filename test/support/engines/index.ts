import { mayRunWebKit } from "../../../scripts/test-requirements.mjs";
import { CHROMIUM } from "./chromium.js";
import type { Engine } from "./engine.js";
import { FIREFOX } from "./firefox.js";
import { WEBKIT } from "./webkit.js";

/** The engines that the client is tested in, where the system can have them. */
export const ENGINES: readonly Engine[] = [CHROMIUM, FIREFOX, ...(mayRunWebKit() ? [WEBKIT] : [])];

/** How long a browser may take to start on a busy machine, in milliseconds. */
export const LAUNCHING = 60_000;
