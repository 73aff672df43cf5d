import { createHmac } from "node:crypto";
import { isThenable } from "../../shared/answer.js";
import { watchPromise } from "../../shared/promises.js";
import { type AskedIdentity, encodeJson, type ShownIdentity } from "../../shared/protocol.js";
import type { Reporter } from "../log/reporter.js";

/** Gives what a client is shown of its own identity; see `TokenSocketServerOptions.showIdentity`. */
export type ShowIdentity<Auth> = { bivariant(auth: Auth): unknown }["bivariant"];

export interface ShownIdentityParts<Auth> {
  readonly showIdentity: ShowIdentity<Auth> | undefined;
  /** Bytes of JSON that `showIdentity` may give. */
  readonly identityBytes: number;
  readonly reporter: Reporter;
}

/**
 * The answer to a client that asks who it is: what the application shows, and a hash of the key that
 * `identify` gives. Never throws.
 *
 * The client has made the hash's own key, so that all servers give it the same hash, without a secret that they share.
 * It can try keys of `identify` out by that, but its own identity's alone.
 */
export function shownIdentity<Auth>(
  parts: ShownIdentityParts<Auth>,
  auth: Auth,
  key: string | undefined,
  asked: AskedIdentity,
): ShownIdentity {
  const hasHash = key !== undefined && asked !== true;
  return {
    identity: encodeShown(parts, auth),
    identityHash: hasHash ? createHmac("sha256", asked).update(key).digest("base64url") : undefined,
  };
}

function encodeShown<Auth>(parts: ShownIdentityParts<Auth>, auth: Auth): string | undefined {
  const { showIdentity, identityBytes, reporter } = parts;
  try {
    const shown = showIdentity?.(auth);
    if (shown === undefined) return undefined;
    if (isThenable(shown)) {
      watchPromise(shown, () => {});
      throw new TypeError("showIdentity must give JSON, and no promise of it");
    }
    const json = encodeJson(shown);
    const bytes = Buffer.byteLength(json);
    if (bytes <= identityBytes) return json;
    throw new RangeError(
      `showIdentity has given ${bytes} bytes, and limits.identityBytes is ${identityBytes}`,
    );
  } catch (error) {
    reporter.error("a client is not shown its identity", error);
    return undefined;
  }
}
