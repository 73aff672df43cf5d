// The suite's entry for a page: it gives it a function that runs one case.

import * as client from "../../../lib/client/index.js";
import { runCase, TRANSPORTS } from "./context.js";
import { SUBJECTS } from "./index.js";

/** How a case has failed, so that it can be told outside of the page. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

/** An error that nothing in the page has handled: of an `error` event, or of an `unhandledrejection`. */
interface Complaint {
  readonly error?: unknown;
  readonly message?: string;
  readonly reason?: unknown;
}

const page = globalThis as unknown as {
  addEventListener(event: string, listener: (complaint: Complaint) => void): void;
};

/** What the page has complained about. */
const complaints: string[] = [];

page.addEventListener("error", ({ error, message }) => complaints.push(textOf(error ?? message)));
page.addEventListener("unhandledrejection", ({ reason }) => complaints.push(textOf(reason)));

/** Runs the case of these names; resolves with its failure, or with null. */
async function runCaseOf(transport: string, subject: string, name: string): Promise<Failure | null> {
  try {
    const carried = TRANSPORTS.find((one) => one.name === transport);
    const found = SUBJECTS.find((one) => one.name === subject)?.cases.find((one) => one.name === name);
    if (!carried || !found) throw new Error("The page does not know such a case");
    await runCase(found, carried, client);
    // rejections that nobody has handled are told after all that is due
    await new Promise((resolve) => setTimeout(resolve));
    const said = complaints.splice(0).join("\n");
    if (said) throw new Error(`The page has complained:\n${said}`);
    return null;
  } catch (error) {
    complaints.length = 0;
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    return { name, message, stack: stack ?? "" };
  }
}

/** An error with its stack, to which not every engine adds the message. */
function textOf(error: unknown): string {
  const stack = (error instanceof Error && error.stack) || "";
  return stack.includes(String(error)) ? stack : `${error}\n${stack}`;
}

Object.assign(globalThis, { runCase: runCaseOf });
