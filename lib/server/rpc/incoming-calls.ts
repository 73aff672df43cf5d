import { isStream } from "../../shared/answer.js";
import { errorForWire, failureForWire, isError, isRpcError, type Outcome } from "../../shared/errors.js";
import {
  encodeEnd,
  encodeItem,
  encodeReply,
  encodeStreamError,
  encodeStreamReply,
} from "../../shared/frame-encoders.js";
import { type ClientFrame, PROTOCOL, type Protocol, type RequestHead } from "../../shared/protocol.js";
import { ABORTED, BUSY, INVALID_REQUEST, IS_STREAM, TIMED_OUT } from "../../shared/refusals.js";
import { type GuardResult, type Guards, MOST_DECISIONS } from "../events/guards.js";
import { Review } from "../events/reviews.js";
import type { Deadlines } from "../limits/deadlines.js";
import type { Limits } from "../limits/limits.js";
import type { TurnScheduler } from "../limits/turn-scheduler.js";
import type { Reporter } from "../log/reporter.js";
import { requestName } from "../log/request-name.js";
import type { RunningRoute } from "../routes/express-routes.js";
import type { Socket } from "../transport/socket.js";
import type { Dispatcher } from "./dispatcher.js";
import { dispose, OutgoingStream } from "./outgoing-stream.js";

/** The parts of the server that a client's calls need. */
export interface CallParts<Auth> {
  readonly exposeErrors: boolean;
  readonly limits: Limits;
  readonly guards: Guards;
  readonly dispatcher: Dispatcher<Auth>;
  readonly reporter: Reporter;
  /** Of the calls of all clients. */
  readonly functionDeadlines: Deadlines;
  /** Of the streams of all clients. */
  readonly streamScheduler: TurnScheduler;
}

/** The connection that calls come from. */
export interface Caller<Auth> {
  readonly socket: Socket<Auth>;
  readonly protocol: Protocol;
  readonly closed: boolean;
  /** Another number when the client's rights may have become others. */
  readonly rights: number;
  send(frame: string): void;
  /** Resolves when the client has taken most of what was sent; nothing where it has. */
  whenDrained(): Promise<void> | undefined;
  refuse(head: RequestHead, error: unknown): void;
  /** Tells a client that asked for it that a request is done. */
  acknowledge(head: RequestHead): void;
}

/** A frame by which a client calls, or concerns itself with a call that it has made. */
export type CallFrame = Extract<ClientFrame, { type: "call" | "cancel" | "credit" }>;
type CreditFrame = Extract<ClientFrame, { type: "credit" }>;

/** A client's own id of a call, and so of the stream that answers it. */
type CallId = string | number;

/**
 * A call that has not been answered yet, or that a stream answers. It keeps nothing of what it was called with but its
 * text, and that only where guards may be asked about it again: as JSON's values it would take many times its bytes.
 */
class Call {
  readonly head: RequestHead;
  readonly path: string;
  /** The length of its request, in bytes. */
  readonly bytes: number;
  /** Its data as JSON, empty if there is none; undefined if there are no guards. */
  json: string | undefined;
  isSettled = false;
  /** Absent while the guards decide. */
  running: RunningRoute | undefined;
  stream: OutgoingStream | undefined;
  /** Set when nobody waits for it any more, which may be before it is known to run. */
  isAborted = false;
  readonly #onExpired: (call: Call) => void;

  constructor(head: RequestHead, path: string, bytes: number, onExpired: (call: Call) => void) {
    this.head = head;
    this.path = path;
    this.bytes = bytes;
    this.#onExpired = onExpired;
  }

  /** Called when it has had its time. */
  expire(): void {
    this.#onExpired(this);
  }

  /** Its data, parsed anew. */
  get data(): unknown {
    return this.json ? JSON.parse(this.json) : undefined;
  }
}

/** The calls of one client that are under way. */
export class IncomingCalls<Auth> {
  readonly #caller: Caller<Auth>;
  readonly #parts: CallParts<Auth>;
  /** Those that await their answer. */
  readonly #calls = new Set<Call>();
  /** Those that are answered by a stream. */
  readonly #streaming = new Map<CallId, Call>();
  /** The bytes of their requests. */
  #bytes = 0;
  #review: Review<Call> | undefined;

  constructor(caller: Caller<Auth>, parts: CallParts<Auth>) {
    this.#caller = caller;
    this.#parts = parts;
  }

  /** Whether none is under way; a stream may last, and is ended where it is. */
  get isIdle(): boolean {
    return this.#calls.size === 0;
  }

  /** Handles a frame, whose text has so many bytes. To clients of version 3 all of them are calls. */
  handle(frame: CallFrame, bytes: number): void {
    const { head } = frame;
    if (frame.type === "call") return this.#begin(head, frame.path, frame.data, bytes);
    if (this.#caller.protocol !== PROTOCOL) return this.#begin(head, `_${frame.type}`, frame.req, bytes);
    if (frame.type === "credit") return this.#credit(frame);
    this.#cancel(frame.call);
    this.#caller.acknowledge(head);
  }

  /** Sends further items of a stream. */
  #credit({ head, call, items }: CreditFrame): void {
    if (items === undefined) {
      this.#endStream(call, INVALID_REQUEST);
      return this.#caller.refuse(head, INVALID_REQUEST);
    }
    this.#streaming.get(call as CallId)?.stream?.grant(items);
    this.#caller.acknowledge(head);
  }

  /** Asks the guards, runs what the path names, and answers once. `bytes` is how long the request was. */
  #begin(head: RequestHead, path: string, data: unknown, bytes: number): void {
    this.#parts.reporter.debug(() => `${this.#caller.socket.sid} calls ${requestName(head)}`);
    const { functionDeadlines, limits } = this.#parts;
    const count = this.#calls.size + this.#streaming.size;
    if (count >= limits.callsInFlight || (count > 0 && this.#bytes + bytes > limits.callBytes))
      return this.#caller.refuse(head, BUSY);
    const call = new Call(head, path, bytes, this.#expire);
    this.#ask(call, data);
    if (call.isSettled || this.#caller.closed) return;
    this.#calls.add(call);
    this.#bytes += bytes;
    functionDeadlines.add(call);
  }

  readonly #expire = (call: Call): void => {
    this.#parts.reporter.error("a call", notInTime(call));
    this.#settle(call, { status: "error", error: TIMED_OUT });
    abort(call);
  };

  /** Runs a call, where there are guards when they allow it. */
  #ask(call: Call, data: unknown): void {
    if (this.#parts.guards.has("rpc")) return this.#askGuards(call, data);
    // a logger may have closed it; and where nobody has decided anything, nothing can become other
    if (!this.#caller.closed) this.#dispatch(call, data, this.#caller.socket.auth, always);
  }

  /** Runs a call when the guards allow it. They are asked again where the rights may have become others meanwhile. */
  #askGuards(call: Call, data: unknown, times = 1): void {
    const { socket, rights } = this.#caller;
    // one call has one identity, whatever becomes of the socket's
    const { auth } = socket;
    const request = { rpc: call.path, req: data };
    call.json ??= JSON.stringify(data) ?? "";
    const verdict = this.#parts.guards.decide("rpc", socket, request);
    const isCurrent = () => this.#caller.rights === rights;
    const askAgain = () => {
      if (times === MOST_DECISIONS) return this.#settle(call, { status: "error", error: BUSY });
      this.#askGuards(call, call.data, times + 1);
    };
    const goOn = (decided: GuardResult) => {
      if (this.#caller.closed || call.isSettled) return;
      if (!decided.allowed) return this.#settle(call, { status: "error", error: decided.error });
      if (!isCurrent()) return askAgain();
      this.#dispatch(call, request.req, auth, () => {
        if (isCurrent()) return true;
        call.running = undefined;
        askAgain();
        return false;
      });
    };
    if (!(verdict instanceof Promise)) return goOn(verdict);
    // a guard may have left a getter that throws
    void verdict.then(goOn).catch((error: unknown) => this.#settle(call, { status: "failure", error }));
  }

  #dispatch(call: Call, data: unknown, auth: Auth, mayRun: () => boolean): void {
    const { socket } = this.#caller;
    call.running = this.#parts.dispatcher.dispatch(
      { path: call.path, data, socket, auth, mayRun },
      (outcome) => this.#settle(call, outcome),
    );
    // the function may have closed the socket, or have answered with a stream that was refused
    if (this.#caller.closed || call.isAborted) call.running?.abort();
  }

  /** Asks the guards again about all calls that run, streams among them, and ends those that they refuse. */
  review(): void {
    if (!this.#parts.guards.has("rpc")) return;
    this.#review ??= new Review((call) => this.#askAgain(call));
    this.#review.add([...this.#calls, ...this.#streaming.values()].filter(({ running }) => running));
  }

  async #askAgain(call: Call): Promise<void> {
    if (this.#caller.closed || !this.#isUnderWay(call)) return;
    const request = { rpc: call.path, req: call.data };
    const verdict = await this.#parts.guards.decide("rpc", this.#caller.socket, request);
    if (verdict.allowed || this.#caller.closed || !this.#isUnderWay(call)) return;
    if (call.stream) return this.#endStream(call.head.uuid, errorForWire(verdict.error));
    this.#settle(call, { status: "error", error: verdict.error });
    abort(call, true);
  }

  #isUnderWay(call: Call): boolean {
    return this.#calls.has(call) || this.#streaming.get(call.head.uuid as CallId) === call;
  }

  /** Ends what the client does not wait for any more. */
  #cancel(id: unknown): void {
    for (const call of this.#calls) {
      if (call.head.uuid === undefined || call.head.uuid !== id) continue;
      this.#settle(call, { status: "error", error: ABORTED });
      abort(call);
    }
    this.#endStream(id, ABORTED);
  }

  /** Tells all of them that nobody waits any more. */
  end(): void {
    this.#review?.clear();
    for (const call of [...this.#calls, ...this.#streaming.values()]) {
      this.#forget(call);
      abort(call);
    }
    this.#streaming.clear();
    this.#bytes = 0;
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
    if (!this.#calls.delete(call)) return;
    this.#bytes -= call.bytes;
    this.#parts.functionDeadlines.delete(call);
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
      this.#forgetStream(id);
      caller.send(frame);
    };
    call.stream = new OutgoingStream(items, {
      whenDrained: () => caller.whenDrained() ?? this.#parts.streamScheduler.take(),
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
    this.#bytes += call.bytes;
    caller.send(encodeStreamReply(call.head));
  }

  /** Ends a stream, if there is one, before its own end. */
  #endStream(id: unknown, error: unknown): void {
    const call = this.#forgetStream(id as CallId);
    if (!call) return;
    this.#caller.send(encodeStreamError(id as CallId, error));
    abort(call);
  }

  #forgetStream(id: CallId): Call | undefined {
    const call = this.#streaming.get(id);
    if (call) this.#bytes -= call.bytes;
    this.#streaming.delete(id);
    return call;
  }

  /** Takes an answer that comes too late: a stream is ended, and a failure is reported. */
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

/** The error of a call that has had its time, by what it waits for. */
function notInTime({ path, running }: Call): Error {
  const name = JSON.stringify(path.slice(0, LONGEST_NAME));
  if (!running) return new Error(`The guards for "rpc" have not decided on ${name} in time`);
  const why = running.isSilent ? ": its promise gave nothing, and it has not called its callback" : "";
  return new Error(`${name} has not answered in time${why}`);
}

/** The length of a path in logs and errors; a client may send any. */
const LONGEST_NAME = 256;

function isAbort(error: unknown): boolean {
  try {
    return isError(error) && error.name === "AbortError";
  } catch {
    return false;
  }
}

function always(): boolean {
  return true;
}

function abort(call: Call, isRefused = false): void {
  call.isAborted = true;
  call.running?.abort(isRefused);
  call.stream?.stop();
}
