import type { Socket } from "../transport/socket.js";
import type { TokenSocketServer } from "./controller.js";
import type { Procedure } from "./procedure.js";

/** The argument of `call`, for a test. The procedure may not use parts that are left out. */
export type TestCall<Auth, Sent> = (undefined extends Sent ? { input?: Sent } : { input: Sent }) &
  (undefined extends Auth ? { auth?: Auth } : { auth: Auth }) & {
    socket?: Socket<Auth>;
    server?: TokenSocketServer<Auth>;
    /** Default: one that never fires. */
    signal?: AbortSignal;
  };

/**
 * Calls a procedure without a socket, as in a unit test: `call(read, { input: { id: 7 }, auth })`.
 *
 * @returns what the handler has returned, as the `output` schema has made it, and not yet as JSON
 * @throws (rejects with) what a client would be told, an `RpcError` "Invalid input" among it, or what was thrown
 */
export function call<Auth, Sent, Result>(
  procedure: Procedure<Auth, Sent, Result>,
  ...[given]: Record<never, never> extends TestCall<Auth, Sent>
    ? [given?: TestCall<Auth, Sent>]
    : [given: TestCall<Auth, Sent>]
): Promise<Result> {
  const { input, auth, socket, server, signal } = given ?? ({} as TestCall<Auth, Sent>);
  const asked = { data: input, auth, socket: socket ?? missing("socket"), mayRun: () => true };
  const context = {
    signal: signal ?? new AbortController().signal,
    isAborted: false,
    server: server ?? missing("server"),
  };
  return new Promise((resolve, reject) => {
    void procedure.run(asked, context, (outcome) => {
      if (outcome.status === "result") resolve(outcome.value as Result);
      else reject(outcome.error);
    });
  });
}

/** Stands for what was not given, which may be handed on, but not used. */
function missing(name: string): object {
  const use = () => {
    throw new TypeError(`call() was given no ${name}`);
  };
  return new Proxy({}, { get: use, set: use, has: use });
}
