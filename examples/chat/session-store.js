import session from "express-session";

/** How long a session without an age of its own lives, in milliseconds. */
const DEFAULT_AGE = 24 * 60 * 60 * 1000;

/** Keeps the sessions of express-session in Redis. */
export class RedisSessions extends session.Store {
  #client;

  constructor(client) {
    super();
    this.#client = client;
  }

  get(id, callback) {
    const reading = this.#client.get(keyOf(id)).then((data) => (data === null ? null : JSON.parse(data)));
    answer(reading, callback);
  }

  set(id, data, callback) {
    const expiration = { type: "PX", value: ageOf(data) };
    answer(this.#client.set(keyOf(id), JSON.stringify(data), { expiration }), callback);
  }

  touch(id, data, callback) {
    answer(this.#client.pExpire(keyOf(id), ageOf(data)), callback);
  }

  destroy(id, callback) {
    answer(this.#client.del(keyOf(id)), callback);
  }
}

function keyOf(id) {
  return `chat-session:${id}`;
}

function ageOf({ cookie }) {
  return cookie.originalMaxAge ?? DEFAULT_AGE;
}

/** Answers outside the promise, so that what a callback throws is not taken for a failure of Redis. */
function answer(promise, callback = () => {}) {
  promise.then(
    (value) => setImmediate(callback, null, value),
    (error) => setImmediate(callback, error),
  );
}
