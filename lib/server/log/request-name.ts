import type { RequestHead } from "../../shared/protocol.js";

/** A request's name for the log; a client may send anything there, and as much as it likes. */
export function requestName({ rpc }: RequestHead): string {
  return typeof rpc === "string" ? JSON.stringify(rpc.slice(0, LONGEST_NAME)) : "a request without a name";
}

const LONGEST_NAME = 100;
