import { type Browser, chromium } from "playwright-core";
import { findChromium } from "../../scripts/test-requirements.mjs";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts Chromium with a fresh profile, which goes away with it. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("There is no Chromium; see scripts/test-requirements.mjs");
  return chromium.launch({ executablePath, args: ARGUMENTS });
}
