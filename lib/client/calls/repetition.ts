import { isLost, RemoteError } from "../errors.js";

/**
 * Makes a request again as long as it is lost with its connection, and `isRepeatable` says that this does no harm. Once it was
 * sent, whatever keeps it from being sent again leaves its outcome unknown.
 */
export async function untilAnswered(
  ask: () => Promise<unknown>,
  isRepeatable: () => unknown = () => true,
): Promise<unknown> {
  let lost: unknown;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (!isLost(error) || !isRepeatable()) {
        const isOwn = !(error instanceof RemoteError) || code === "no_history";
        throw lost && isOwn && code !== "aborted" ? lost : error;
      }
      lost = error;
    }
  }
}
