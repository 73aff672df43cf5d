import { FINAL_CLOSE_CODES, GOING_CLOSE_CODE } from "../../shared/close-codes.js";
import { type JsonObject, PROTOCOL } from "../../shared/protocol.js";
import { startTimer } from "../../shared/times.js";
import type { Requests } from "../calls/requests.js";
import {
  ConnectionError,
  DisconnectedError,
  NoTransportError,
  TimeoutError,
  UnauthorizedError,
} from "../errors.js";
import { checkAuthentication, demand, type ResolvedOptions } from "../options.js";
import { within } from "../time-limit.js";
import { availableTransports, type Link, openLink } from "../transport/transport.js";
import { TransportChoice, type TransportName } from "../transport/transport-choice.js";
import { backoff } from "./backoff.js";
import { type Credentials, isUnserved, requestToken } from "./token-request.js";
import { onWake, whileLeaving } from "./wake.js";

/**
 * - `connecting`: an attempt is under way: token, transport, authentication, channels
 * - `open`: calls are sent at once
 * - `waiting`: the last attempt has failed, or the connection was lost; the next attempt comes by itself
 * - `closed`: no attempt comes by itself any more
 */
export type State = "connecting" | "open" | "waiting" | "closed";

/** The client that a connection belongs to. */
export interface ConnectionListener {
  /** Takes what came over a link. */
  readonly onMessage: (data: unknown, link: Link) => void;
  /** Brings back what the last connection had, before anything that waits is sent. `signal` fires when this one ends. */
  restore(signal: AbortSignal): Promise<void>;
  /** The positions to be given with the first token of a connection, by the names of their channels. */
  positions(): object | undefined;
  /** Takes what the server says of itself and of the identity that it has let in. */
  onIdentity(server: JsonObject): void;
  /** `reason` says why it is not open. */
  onState(state: State, previous: State, reason: Error | undefined): void;
}

/** The close code of a client that does not come back (RFC 6455, section 7.4.1). */
const FOR_GOOD = 1000;

/** Sees to it that there is a connection: one attempt at a time, with waits in between. */
export class Connection {
  readonly #options: ResolvedOptions;
  readonly #requests: Requests;
  readonly #listener: ConnectionListener;
  readonly #choice: TransportChoice;
  #state: State = "connecting";
  #reason: Error | undefined;
  /** The attempt, or the connection that it has become; fires when that is over. */
  #life = new AbortController();
  #link: Link | undefined;
  /** Fires when it is closed for good by the application. */
  readonly #end = new AbortController();
  readonly #leavingFor = whileLeaving(this.#end.signal);
  /** The server hashes the identity's key with it. It is no secret, but its own, so that two clients cannot be matched. */
  readonly #hashKey = `${Math.random()}`;
  #failures = 0;
  #openedAt = 0;
  #stopRetry = () => {};
  #stopRefresh = () => {};
  #stopPing = () => {};
  #stopWaking = () => {};
  /** Whether anything has come since the last ping was sent. */
  // Stryker disable next-line BooleanLiteral: each ping sets it before it is read
  #isHeard = false;
  /** The authentication data that the token route has refused. */
  #refused: string | undefined;
  /** Callbacks for when the connection is open. */
  readonly #waiters: (() => void)[] = [];
  #reauthentication: Promise<void> = Promise.resolve();
  /** The number of tokens that `reauthenticate()` has asked for. */
  #asked = 0;
  /** The last one of these that a token request was made for. */
  #made = 0;

  constructor(options: ResolvedOptions, requests: Requests, listener: ConnectionListener) {
    this.#options = options;
    this.#requests = requests;
    this.#listener = listener;
    this.#choice = new TransportChoice(availableTransports(options));
  }

  get state(): State {
    return this.#state;
  }

  /** The reason why it is not open, if it has failed. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /** Makes an attempt at once. */
  begin(): void {
    this.#stopWaiting();
    this.#made = this.#asked;
    const life = new AbortController();
    this.#life = life;
    this.#change("connecting");
    this.#connect(life).catch((error: unknown) => this.#fail(life, error));
  }

  /** Resolves when it is open. Rejects when it is closed. */
  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#state === "open") resolve();
        else if (this.#state === "closed") reject(this.#reason);
        else this.#waiters.push(look);
      };
      look();
    });
  }

  /** Presents a new token, on the connection that is there or, without one, on the next. */
  async reauthenticate(): Promise<void> {
    if (this.#state === "waiting" || (this.#state === "closed" && !this.#end.signal.aborted)) {
      this.#refused = undefined;
      this.#requests.reopen();
      this.begin();
      return this.opened();
    }
    const number = ++this.#asked;
    const done = this.#reauthentication
      .catch(() => {})
      .then(() => this.opened())
      // an attempt that has begun since has asked for a token of its own
      .then(() => (number > this.#made ? this.#authenticateAgain(this.#life, number) : undefined));
    this.#reauthentication = done;
    return done;
  }

  /** Presents a new token since the server asks for it; a request that is still to be made does for that. */
  refresh(): void {
    if (this.#asked === this.#made) this.reauthenticate().catch(() => {});
  }

  /** Goes when what was sent is answered, since the server asks for it, and comes back as after a loss. */
  leave(): void {
    const life = this.#life;
    this.#requests.leave(() => this.#fail(life, closeError(GOING_CLOSE_CODE)));
  }

  /** Closes it for good. */
  async end(): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    await this.#quit(new DisconnectedError());
  }

  async #connect(life: AbortController): Promise<void> {
    const { signal } = life;
    const token = await this.#token(signal);
    const name = await this.#open(life);
    try {
      await this.#present(token, signal);
    } catch (error) {
      if (error instanceof TimeoutError) this.#choice.stuck(name);
      throw error;
    }
    this.#choice.worked(name);
    this.#refused = undefined;
    await this.#listener.restore(signal);
    signal.throwIfAborted();
    this.#openedAt = Date.now();
    this.#requests.open();
    if (this.#options.ping) this.#schedulePing(life, this.#options.ping);
    this.#change("open");
  }

  async #token(signal: AbortSignal): Promise<Credentials> {
    const options = this.#options;
    const { authentication, token: give, connectTimeout } = options;
    if (give) {
      const token = await within(connectTimeout, "token", signal, async () => give());
      demand(typeof token === "string", "token", "string");
      return { token, nonce: undefined };
    }
    const isAsked = typeof authentication === "function";
    const data = isAsked
      ? await within(connectTimeout, "authentication", signal, async () => authentication())
      : authentication;
    checkAuthentication(data);
    // Stryker disable next-line StringLiteral: any text that is no JSON tells it from all others
    const json = JSON.stringify(data) ?? "";
    if (isAsked && json === this.#refused) throw new UnauthorizedError("Forbidden");
    try {
      return await requestToken(options, data, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (!isAsked) throw new UnauthorizedError(error.message);
      // the function may have something better the next time
      this.#refused = json;
      throw error;
    }
  }

  async #open(life: AbortController): Promise<TransportName> {
    const options = this.#options;
    const { signal } = life;
    const failures: string[] = [];
    let first: unknown;
    let isHopeless = true;
    for (const name of this.#choice.candidates()) {
      try {
        const link = await openLink(name, options, signal, {
          onMessage: (data, from) => {
            this.#isHeard = true;
            this.#listener.onMessage(data, from);
          },
          onClose: (code, reason) => this.#fail(life, closeError(code, reason)),
        });
        if (signal.aborted) void link.close();
        signal.throwIfAborted();
        this.#link = link;
        this.#requests.connect(link);
        return name;
      } catch (error) {
        signal.throwIfAborted();
        // of a page that is being left nothing more goes out
        if (this.#leavingFor() > 0) throw error;
        options.logger.debug(`${name} has not opened`, error);
        this.#choice.failed(name);
        first ??= error;
        failures.push(`${name}: ${(error as Error).message}`);
        // that a fallback is missing says less than why there has to be one
        isHopeless &&= error instanceof NoTransportError;
      }
    }
    if (isHopeless) throw first ?? new NoTransportError("No transport is on");
    // where it has been open before, the server is just away
    const hint =
      !this.#openedAt &&
      (await isUnserved(options, signal)) &&
      `Nothing serves ${options.socketUrl}: was attach() called?`;
    throw new ConnectionError(hint || failures.join("; "), (first as Partial<ConnectionError>).status, first);
  }

  async #present(credentials: Credentials, signal: AbortSignal): Promise<void> {
    const positions = this.#listener.positions();
    const asked = { protocol: PROTOCOL, limits: true, history: true, identity: this.#hashKey, positions };
    const fields = `${JSON.stringify({ ...credentials, ...asked }).slice(1, -1)},`;
    const server = Object(
      await this.#requests.urgent("auth", fields, this.#options.connectTimeout),
    ) as JsonObject;
    // the connection may have ended right behind the answer
    signal.throwIfAborted();
    this.#requests.speak(server);
    this.#scheduleRefresh(Number(server.expiresIn));
    this.#listener.onIdentity(server);
  }

  /**
   * Presents a new token before the identity expires, at a random time of its last third, since those of many may
   * expire in one moment; where that fails, once more in the time that is left.
   */
  #scheduleRefresh(expiresIn: number): void {
    this.#stopRefresh();
    const wait = Math.max(this.#options.backoff.min, expiresIn * (0.7 + Math.random() / 5));
    const refresh = () =>
      this.reauthenticate().catch(() => this.#state === "open" && this.#scheduleRefresh(expiresIn - wait));
    if (expiresIn > 0) this.#stopRefresh = startTimer(wait, refresh);
  }

  async #authenticateAgain(life: AbortController, number: number): Promise<void> {
    const { signal } = life;
    this.#made = number;
    this.#refused = undefined;
    try {
      await this.#present(await this.#token(signal), signal);
    } catch (error) {
      // who may not come in is not to stay in, unless a newer request decides on that; and a connection without an
      // answer to this is of no use
      const isRefused = isRefusal(error) && this.#asked === number;
      if (isRefused || error instanceof TimeoutError) this.#fail(life, error);
      if (isRefused || !signal.aborted) throw error;
      // the connection has ended, as it does where another user may not have it: the next one has its own token
      return this.opened();
    }
  }

  #schedulePing(life: AbortController, interval: number): void {
    const ping = async () => {
      this.#isHeard = false;
      try {
        await this.#requests.urgent("_ping", '"req":{},', this.#options.pingTimeout);
      } catch (error) {
        // a refusal is a sign of life, too, and so is whatever else comes, behind which the answer may have to wait
        if (error instanceof TimeoutError && !this.#isHeard) {
          this.#fail(life, new ConnectionError("No answer"));
        }
      }
      if (!life.signal.aborted) this.#schedulePing(life, interval);
    };
    this.#stopPing = startTimer(interval, ping);
  }

  /** Ends an attempt or a connection; one that has ended already changes nothing. */
  #fail(life: AbortController, error: unknown): void {
    if (life.signal.aborted) return;
    const reason = error instanceof Error ? error : new ConnectionError("No connection", undefined, error);
    const { reconnect, backoff: waits, logger } = this.#options;
    if (this.#asked > this.#made && isRefusal(reason)) {
      // of the user as it was before
      this.#refused = undefined;
      void this.#drop(reason);
      return this.begin();
    }
    const isHopeless = reason instanceof NoTransportError;
    if (isHopeless) logger.error("Cannot connect", reason);
    if (!reconnect || isHopeless || reason instanceof UnauthorizedError) {
      void this.#quit(reason);
      return;
    }
    const hasLasted = Date.now() - this.#openedAt >= waits.resetAfter;
    if (this.#state === "open" && (hasLasted || isGoing(reason))) this.#failures = 0;
    this.#failures++;
    void this.#drop(reason);
    const asked = reason instanceof ConnectionError ? reason.retryAfter : 0;
    const until = Date.now() + asked;
    const wait = (time: number) => {
      this.#stopRetry();
      this.#stopRetry = startTimer(time, () => {
        const left = this.#leavingFor();
        if (left > 0) wait(left);
        else this.begin();
      });
    };
    wait(Math.max(asked, backoff(this.#failures, waits)));
    // what the server has asked for is waited for all the same
    this.#stopWaking = onWake(() => wait(Math.max(0, until - Date.now())));
    this.#change("waiting", reason);
  }

  /** Gives up for good; resolves when the other side knows. */
  #quit(reason: Error): Promise<void> | undefined {
    const gone = this.#drop(reason, FOR_GOOD);
    this.#requests.close(reason);
    this.#change("closed", reason);
    return gone;
  }

  #stopWaiting(): void {
    this.#stopRetry();
    this.#stopWaking();
  }

  /** Lets go of the attempt or the connection. */
  #drop(reason: Error, code?: number): Promise<void> | undefined {
    const gone = this.#link?.close(code);
    this.#link = undefined;
    this.#stopPing();
    this.#stopRefresh();
    this.#stopWaiting();
    this.#life.abort(reason);
    this.#requests.disconnect(reason);
    return gone;
  }

  #change(state: State, reason?: Error): void {
    const previous = this.#state;
    this.#state = state;
    this.#reason = reason;
    for (const look of this.#waiters.splice(0)) look();
    if (state !== previous) this.#listener.onState(state, previous, reason);
  }
}

/** Says whether the server refuses the user. */
function isRefusal(error: unknown): error is Error {
  return (
    error instanceof UnauthorizedError || [401, 403].includes((error as { status?: number })?.status ?? 0)
  );
}

/** Says whether the server has ended the connection since it is going, which is no failure. */
function isGoing(reason: Error): boolean {
  return reason instanceof ConnectionError && reason.status === GOING_CLOSE_CODE;
}

/** The error for a closed connection; a reason that says not to come back is an `UnauthorizedError`. */
function closeError(code: number, text?: string): Error {
  const message = text || "Connection closed";
  return FINAL_CLOSE_CODES.includes(code)
    ? new UnauthorizedError(message)
    : new ConnectionError(message, code);
}
