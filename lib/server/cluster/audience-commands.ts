import { callable } from "../../shared/callable.js";
import { type CallOptions, DEFAULT_CALL_TIMEOUT } from "../../shared/pending-calls.js";
import { encodeJson } from "../../shared/protocol.js";
import type { Audience, ClusterAnswers, FindOptions, FoundSockets, SocketCount } from "../api/audience.js";
import { checkIdentities, closeReasonOf } from "../auth/selectors.js";
import { checkChannel } from "../channels/pubsub.js";
import type { Limits } from "../limits/limits.js";
import type { Commands } from "../log/commands.js";
import type { Cluster } from "./cluster.js";
import type { Outcome } from "./inquiry.js";
import { type Action, MOST_FOUND } from "./requests.js";
import { bySid } from "./responder.js";
import { type SocketTarget, toTarget } from "./target.js";

export interface AudienceCommandsParts<Auth> {
  readonly commands: Commands;
  readonly cluster: Cluster<Auth>;
  readonly limits: Limits;
  /** Whether identities are told apart, by the option `identify`. */
  readonly hasIdentities: boolean;
}

/** The sockets of a page of `find()` where none is said. */
const DEFAULT_FOUND = 100;

/** The server's own methods for sockets of all servers, which resolve with what each has answered. */
export class AudienceCommands<Auth> {
  readonly #parts: AudienceCommandsParts<Auth>;

  constructor(parts: AudienceCommandsParts<Auth>) {
    this.#parts = parts;
  }

  /** Throws a `TypeError` for what is no target. */
  to<Messages>(given: unknown): Audience<Messages> {
    const target = this.#target(given);
    const { limits, cluster } = this.#parts;
    const onChannel = (type: "subscribe" | "unsubscribe", channel: string) =>
      this.#run<true>(`having sockets ${type} failed`, async () => {
        checkChannel(channel, limits);
        // each of them waits for Redis
        return cluster.reach(target, { type, channel }, { timeout: 2 * limits.redisTimeout });
      });
    const rpc = (command: string, args?: unknown, options?: CallOptions | null) =>
      this.#call(target, command, args, options ?? {});
    const audience: Audience<unknown> = {
      send: (channel, message) =>
        this.#run<boolean>("sending to sockets failed", async () => {
          checkChannel(channel, limits);
          encodeJson(message);
          return cluster.reach(target, { type: "send", channel, message });
        }),
      rpc,
      subscribe: (channel) => onChannel("subscribe", channel),
      unsubscribe: (channel) => onChannel("unsubscribe", channel),
      refresh: () =>
        this.#run<true>("refreshing sockets failed", async () =>
          target.by === "channel" ? cluster.reach(target, { type: "refresh" }) : cluster.refresh(target),
        ),
      disconnect: (options) =>
        this.#run<true>("disconnecting sockets failed", async () => {
          const { code, reason } = closeReasonOf(options);
          if (target.by !== "channel") return cluster.disconnect(target, code, reason);
          return cluster.reach(target, { type: "disconnect", code, reason });
        }),
      client: () => callable((path, [args, options]) => rpc(path, args, options as CallOptions)) as never,
    };
    return audience as Audience<Messages>;
  }

  count(given: unknown): Promise<SocketCount> {
    return this.#parts.commands.run("counting sockets failed", async () => {
      const { count, missing } = await this.#parts.cluster.reach(this.#target(given), { type: "count" });
      return { count, missing };
    });
  }

  find(given: unknown, options: FindOptions): Promise<FoundSockets> {
    return this.#parts.commands.run("finding sockets failed", async () => {
      const target = this.#target(given);
      const action = findAction(options);
      const { found, isMore, missing } = await this.#parts.cluster.reach(target, action);
      const sockets = [...found].sort(bySid).slice(0, action.limit);
      const next = isMore || found.length > sockets.length ? sockets.at(-1)?.sid : undefined;
      return { sockets, next, missing };
    });
  }

  #call(
    target: SocketTarget,
    command: unknown,
    args: unknown,
    { timeout = DEFAULT_CALL_TIMEOUT, signal }: CallOptions,
  ): Promise<ClusterAnswers<unknown>> {
    const calling = this.#parts.commands.attempt(async () => {
      if (typeof command !== "string" || command === "") {
        throw new TypeError("command must be a function's path");
      }
      if (!(typeof timeout === "number" && timeout > 0 && timeout < Infinity)) {
        throw new TypeError("timeout must be a positive, finite number of milliseconds");
      }
      if (signal !== undefined && !(signal instanceof AbortSignal)) {
        throw new TypeError("signal must be an AbortSignal");
      }
      if (args !== undefined) encodeJson(args);
      const action = { type: "rpc", command, args, timeout } as const;
      return answersOf<unknown>(await this.#parts.cluster.reach(target, action, { timeout, signal }));
    });
    // the caller may ignore it
    calling.catch(() => {});
    return calling;
  }

  #run<T>(context: string, act: () => Promise<Outcome>): Promise<ClusterAnswers<T>> {
    return this.#parts.commands.run(context, async () => answersOf<T>(await act()));
  }

  #target(given: unknown): SocketTarget {
    const { limits, hasIdentities } = this.#parts;
    const target = toTarget(given, limits);
    checkIdentities(target, hasIdentities);
    return target;
  }
}

function answersOf<T>({ answers, missing }: Outcome): ClusterAnswers<T> {
  return { answers, missing } as ClusterAnswers<T>;
}

function findAction({ limit = DEFAULT_FOUND, cursor = "" }: FindOptions): Extract<Action, { type: "find" }> {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MOST_FOUND) {
    throw new TypeError(`limit must be a whole number of 1 to ${MOST_FOUND}`);
  }
  if (typeof cursor !== "string") throw new TypeError("cursor must be the `next` of a page");
  return { type: "find", limit, after: cursor };
}
