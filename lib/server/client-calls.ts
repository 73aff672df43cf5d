import { isStream } from "../shared/answer.js";
import { errorForWire, failureForWire, isError, isRpcError, type Outcome } from "../shared/errors.js";
import {
  encodeEnd,
  encodeItem,
  encodeReply,
  encodeStreamError,
  encodeStreamReply,
  PROTOCOL,
  type Protocol,
  type RequestHead,
} from "../shared/protocol.js";
import { ABORTED, BUSY, INVALID_REQUEST, IS_STREAM, type Refusal, TIMED_OUT } from "../shared/refusals.js";
import type { Access, Verdict } from "./access.js";
import type { Deadlines } from "./deadlines.js";
import type { Dispatcher } from "./dispatcher.js";
import type { RunningRoute } from "./express-routes.js";
import type { Limits } from "./options.js";
import { dispose, OutgoingStream } from "./outgoing-stream.js";
import type { Reporter } from "./reporter.js";
import type { Socket } from "./socket.js";
import type { Turns } from "./turns.js";

/** What a client's calls need of the server. */
export interface CallParts<Auth> {
  readonly exposeErrors: boolean;
  readonly limits: Limits;
  readonly access: Access;
  readonly dispatcher: Dispatcher<Auth>;
  readonly reporter: Reporter;
  /** Of the calls of all clients. */
  readonly functionDeadlines: Deadlines;
  /** Of the streams of all clients. */
  readonly turns: Turns;
}

/** The connection that calls come from. */
export interface Caller<Auth> {
  readonly socket: Socket<Auth>;
  readonly protocol: Protocol;
  readonly closed: boolean;
  send(frame: string): void;
  /** Resolves when the client has taken most of what was sent; nothing where it has. */
  room(): Promise<void> | undefined;
  refuse(head: RequestHead, error: unknown): void;
}

/** A client's own id of a call, and so of the stream that answers it. */
type CallId = string | number;

/** A call that has not been answered yet, or that a stream answers. */
interface Call {
  readonly head: RequestHead;
  readonly path: string;
  isSettled: boolean;
  /** Absent while the listeners decide. */
  running: RunningRoute | undefined;
  stream: OutgoingStream | undefined;
  /** Set when nobody waits for it any more, which may be before it is known to run. */
  isAborted: boolean;
  /** Called when it has had its time. */
  expire(): void;
}

/** The calls of one client that are under way. */
export class ClientCalls<Auth> {
  readonly #caller: Caller<Auth>;
  readonly #parts: CallParts<Auth>;
  /** Those that await their answer. */
  readonly #calls = new Set<Call>();
  /** Those that are answered by a stream. */
  readonly #streaming = new Map<CallId, Call>();

  constructor(caller: Caller<Auth>, parts: CallParts<Auth>) {
    this.#caller = caller;
    this.#parts = parts;
  }

  /** Whether none is under way; a stream may last, and is ended where it is. */
  get isIdle(): boolean {
    return this.#calls.size === 0;
  }

  /** Asks the listeners, runs what the path names, and answers once. */
  begin(head: RequestHead, path: string, data: unknown): void {
    const { access, dispatcher, functionDeadlines, limits } = this.#parts;
    const { socket } = this.#caller;
    const { auth } = socket;
    if (this.#calls.size + this.#streaming.size >= limits.callsInFlight)
      return this.#caller.refuse(head, BUSY);
    const call: Call = {
      head,
      path,
      isSettled: false,
      running: undefined,
      stream: undefined,
      isAborted: false,
      expire: () => {
        this.#settle(call, { status: "error", error: TIMED_OUT });
        abort(call);
      },
    };
    const request = { rpc: path, req: data };
    const proceed = (verdict: Verdict) => {
      if (this.#caller.closed || call.isSettled) return;
      if (!verdict.allowed) return this.#settle(call, { status: "error", error: verdict.error });
      call.running = dispatcher.dispatch({ path, data: request.req, socket, auth }, (outcome) =>
        this.#settle(call, outcome),
      );
      // the function may have closed the socket, or have answered with a stream that was refused
      if (this.#caller.closed || call.isAborted) call.running?.abort();
    };
    const verdict = access.decide("rpc", socket, request);
    if (verdict instanceof Promise) void verdict.then(proceed);
    else proceed(verdict);
    if (call.isSettled || this.#caller.closed) return;
    this.#calls.add(call);
    functionDeadlines.add(call);
  }

  /** Ends what the client does not wait for any more. */
  cancel(id: unknown): void {
    for (const call of this.#calls) {
      if (call.head.uuid === undefined || call.head.uuid !== id) continue;
      this.#settle(call, { status: "error", error: ABORTED });
      abort(call);
    }
    this.endStream(id, ABORTED);
  }

  /** Allows a stream to send further items. */
  grant(id: unknown, items: number): void {
    this.#streaming.get(id as CallId)?.stream?.grant(items);
  }

  /** Tells all of them that nobody waits any more. */
  end(): void {
    for (const call of [...this.#calls, ...this.#streaming.values()]) {
      this.#forget(call);
      abort(call);
    }
    this.#streaming.clear();
  }

  #settle(call: Call, outcome: Outcome): void {
    if (call.isSettled || this.#caller.closed) return this.#discard(call, outcome);
    call.isSettled = true;
    this.#forget(call);
    const { head } = call;
    if (outcome.status === "error") return this.#caller.refuse(head, errorForWire(outcome.error));
    if (outcome.status === "failure") return this.#fail(call, "failed", outcome.error);
    let frame: string;
    try {
      if (isStream(outcome.value)) return this.#stream(call, outcome.value);
      frame = encodeReply(head, outcome.value);
    } catch (error) {
      return this.#fail(call, "has a result that is no JSON", error);
    }
    this.#caller.send(frame);
  }

  #forget(call: Call): void {
    if (this.#calls.delete(call)) this.#parts.functionDeadlines.delete(call);
  }

  #fail({ head, path }: Call, how: string, error: unknown): void {
    const { reporter, exposeErrors } = this.#parts;
    if (!isRpcError(error)) reporter.error(`${JSON.stringify(path)} ${how}`, error);
    this.#caller.refuse(head, failureForWire(error, exposeErrors));
  }

  /** Answers with a stream. It begins when the client grants its first items. */
  #stream(call: Call, items: AsyncIterable<unknown>): void {
    const { caller, id } = { caller: this.#caller, id: call.head.uuid };
    if (caller.protocol !== PROTOCOL || id === undefined || this.#streaming.has(id)) {
      this.#dispose(call, items);
      return caller.refuse(call.head, caller.protocol === PROTOCOL ? INVALID_REQUEST : IS_STREAM);
    }
    const end = (frame: string) => {
      this.#streaming.delete(id);
      caller.send(frame);
    };
    call.stream = new OutgoingStream(items, {
      room: () => caller.room() ?? this.#parts.turns.take(),
      item: (value) => caller.send(encodeItem(id, value)),
      ended: () => end(encodeEnd(id)),
      failed: (error) => {
        const { reporter, exposeErrors } = this.#parts;
        if (!isRpcError(error)) reporter.error(`the stream of ${JSON.stringify(call.path)} failed`, error);
        end(encodeStreamError(id, failureForWire(error, exposeErrors)));
      },
      late: (error) => this.#late(call, error),
    });
    this.#streaming.set(id, call);
    caller.send(encodeStreamReply(call.head));
  }

  /** Ends a stream, if there is one, before its own end. */
  endStream(id: unknown, error: Refusal): void {
    const call = this.#streaming.get(id as CallId);
    if (!call) return;
    this.#streaming.delete(id as CallId);
    this.#caller.send(encodeStreamError(id as CallId, error));
    abort(call);
  }

  /** What comes too late is for nobody; a stream of it is to know, and a failure is still one. */
  #discard(call: Call, outcome: Outcome): void {
    if (outcome.status === "error") return;
    if (outcome.status === "failure") return this.#late(call, outcome.error);
    try {
      if (isStream(outcome.value)) this.#dispose(call, outcome.value);
    } catch (error) {
      this.#late(call, error);
    }
  }

  #dispose(call: Call, items: AsyncIterable<unknown>): void {
    abort(call);
    dispose(items, (error) => this.#late(call, error));
  }

  #late({ path }: Call, error: unknown): void {
    // that it was told to stop is what its waiting may end with
    if (isRpcError(error) || isAbort(error)) return;
    this.#parts.reporter.error(`${JSON.stringify(path)} failed when nobody waited for it any more`, error);
  }
}

function isAbort(error: unknown): boolean {
  return isError(error) && error.name === "AbortError";
}

function abort(call: Call): void {
  call.isAborted = true;
  call.running?.abort();
  call.stream?.stop();
}
