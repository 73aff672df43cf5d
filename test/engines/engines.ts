import { mayRunWebKit } from "../../scripts/test-requirements.mjs";
import { CHROMIUM } from "../support/engines/chromium.js";
import type { Engine } from "../support/engines/engine.js";
import { FIREFOX } from "./firefox.js";
import { WEBKIT } from "./webkit.js";

/** The engines that the client is tested in, where the system can have them. */
export const ENGINES: readonly Engine[] = [CHROMIUM, FIREFOX, ...(mayRunWebKit() ? [WEBKIT] : [])];
