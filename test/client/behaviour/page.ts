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

/** Runs the case of these names; resolves with its failure where it has failed. */
export type RunInPage = (transport: string, subject: string, name: string) => Promise<Failure | undefined>;

const run: RunInPage = async (transport, subject, name) => {
  try {
    const carried = TRANSPORTS.find((one) => one.name === transport);
    const found = SUBJECTS.find((one) => one.name === subject)?.cases.find((one) => one.name === name);
    if (!carried || !found) throw new Error("The page does not know such a case");
    await runCase(found, carried, client);
    return undefined;
  } catch (error) {
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    return { name, message, stack: stack ?? "" };
  }
};

Object.assign(globalThis, { runCase: run });
