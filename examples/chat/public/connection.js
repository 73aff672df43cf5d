/* global SockJS */

/** How long the server gets to answer, in milliseconds. */
const TIMEOUT = 10_000;

/** How often a connection is tried out, so that one that has died in silence is noticed, in milliseconds. */
const PING_INTERVAL = 20_000;

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;

/**
 * A connection to the server, which comes back by itself when it is lost, with its channels.
 *
 * Events: `open` each time it is there, `lost` each time it is not any more, `denied` when the user has to log
 * in, and `message` with `detail: { channel, message }`.
 */
export class Connection extends EventTarget {
  #functions;
  #socket;
  #state = "closed";
  #attempts = 0;
  #retryTimer;
  #pingTimer;
  #channels = new Set();
  #requests = new Map();
  #idPrefix = Math.random().toString(36).slice(2);
  #lastId = 0;

  /** `functions` are those that the server may call, by name. */
  constructor(functions = {}) {
    super();
    this.#functions = functions;
    window.addEventListener("online", () => this.retry());
  }

  get isOpen() {
    return this.#state === "open";
  }

  open() {
    if (this.#state === "closed") this.#connect();
  }

  /** Tries again at once, when it is waiting for its next attempt. */
  retry() {
    if (this.#state !== "waiting") return;
    clearTimeout(this.#retryTimer);
    this.#attempts = 0;
    this.#connect();
  }

  /** An id that no other request has, here or in another window. */
  newId() {
    this.#lastId += 1;
    return `${this.#idPrefix}-${this.#lastId}`;
  }

  /** Calls a function of the server. */
  call(path, data = {}) {
    return this.#request(path, data);
  }

  /** Joins a channel, now and after each reconnect; resolves when it is joined. */
  async subscribe(channel) {
    if (!this.#channels.has(channel)) await this.#join(channel);
  }

  /** Publishes. There is no answer when it went well; `onRefused` gets the error when it did not. */
  publish(channel, data, onRefused) {
    const uuid = this.newId();
    const timer = setTimeout(() => this.#requests.delete(uuid), TIMEOUT);
    this.#requests.set(uuid, { resolve() {}, reject: onRefused, timer });
    this.#send({ rpc: "_publish", req: { channel, data }, uuid });
  }

  // ---- coming and going -----------------------------------------------------------------------------------

  async #connect() {
    this.#state = "connecting";
    try {
      const token = await this.#fetchToken();
      if (token) this.#openSocket(token);
      else this.#deny();
    } catch {
      this.#wait();
    }
  }

  /** A token for one connection, which the server gives to whoever has logged in; undefined for others. */
  async #fetchToken() {
    const response = await fetch("/socket/token", {
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    if (response.status === 403) return undefined;
    const { token, error } = await response.json();
    if (!token) throw new Error(error);
    return token;
  }

  #openSocket(token) {
    const socket = new SockJS("/sockets");
    this.#socket = socket;
    socket.onopen = () => this.#authenticate(socket, token);
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => {
      if (socket === this.#socket) this.#wait();
    };
  }

  async #authenticate(socket, token) {
    try {
      await this.#request("auth", undefined, { token });
    } catch {
      this.#drop(); // `onclose` follows
      return;
    }
    this.#state = "open";
    this.#attempts = 0;
    this.#pingTimer = setInterval(() => this.#ping(), PING_INTERVAL);
    await Promise.allSettled([...this.#channels].map((channel) => this.#join(channel)));
    if (socket === this.#socket) this.dispatchEvent(new Event("open"));
  }

  async #join(channel) {
    this.#channels.add(channel);
    try {
      await this.#request("_subscribe", { channel });
    } catch (error) {
      // a refusal is for good, a lost connection is not
      if (this.isOpen) this.#channels.delete(channel);
      throw error;
    }
  }

  #ping() {
    this.#request("_ping", {}).catch(() => this.#drop());
  }

  #deny() {
    this.#state = "closed";
    this.dispatchEvent(new Event("denied"));
  }

  /** Closes the socket; what it still had to answer fails. */
  #drop() {
    clearInterval(this.#pingTimer);
    this.#socket?.close();
    for (const { reject, timer } of this.#requests.values()) {
      clearTimeout(timer);
      reject(new Error("The connection was lost"));
    }
    this.#requests.clear();
  }

  /** Waits before the next attempt: longer each time, and by chance, so that not all come back at once. */
  #wait() {
    this.#state = "waiting";
    this.#drop();
    this.#socket = undefined;
    const longest = Math.min(FIRST_WAIT * 2 ** this.#attempts, LONGEST_WAIT);
    this.#attempts += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), longest * Math.random());
    this.dispatchEvent(new Event("lost"));
  }

  // ---- frames ---------------------------------------------------------------------------------------------

  #send(frame) {
    if (this.#socket?.readyState === SockJS.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #request(rpc, req, more = {}) {
    return new Promise((resolve, reject) => {
      if (!this.#socket) throw new Error("There is no connection");
      const uuid = this.newId();
      const timer = setTimeout(() => {
        this.#requests.delete(uuid);
        reject(new Error("The server does not answer"));
      }, TIMEOUT);
      this.#requests.set(uuid, { resolve, reject, timer });
      this.#send({ rpc, req, uuid, ...more });
    });
  }

  #receive(frame) {
    if (frame.internal) this.#obey(frame);
    else if ("channel" in frame) this.dispatchEvent(new CustomEvent("message", { detail: frame }));
    else this.#settle(frame.uuid, frame);
  }

  #obey({ command, data }) {
    if (command === "rpc") this.#answer(data);
    // the answer to a request to join; the server may let a client join without one, too
    if (command === "subscribe") this.#settle(data.uuid, {});
  }

  #settle(uuid, { resp, error }) {
    const request = this.#requests.get(uuid);
    if (!request) return;
    this.#requests.delete(uuid);
    clearTimeout(request.timer);
    if (error) request.reject(new Error(error.message ?? error));
    else request.resolve(resp);
  }

  async #answer({ fid, command, args }) {
    const resp = {};
    try {
      if (!Object.hasOwn(this.#functions, command)) throw new Error("Function not found");
      resp.data = await this.#functions[command](args);
    } catch (error) {
      resp.error = error.message;
    }
    this.#send({ rpc: "_rpc", fid, resp });
  }
}
