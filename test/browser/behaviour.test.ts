import { describeBehaviour } from "../client/behaviour/in-browser.js";
import { CHROMIUM } from "../support/engines/chromium.js";

describeBehaviour(CHROMIUM);
