import { expect } from "chai";
import type { State } from "../../../lib/client/index.js";
import { subject } from "./context.js";
import { Collected, drop, failure, happened, inState, me, members, SLOW } from "./helpers.js";

/** What a server that is about to end sends its clients. */
const LEAVE = '{"internal":true,"command":"leave","data":{}}';

export const returning = subject("A client that has lost its connection", {
  "comes back by itself, and says so": async ({ connect, errors }) => {
    const client = connect();
    await client.ready();
    const states: State[] = [];
    client.on("state", (state) => states.push(state));
    let isBack = false;
    const told = new Promise<void>((resolve) => client.onreconnect(resolve)).then(() => {
      isBack = true;
    });
    await drop(client);
    expect(client.reason).to.be.instanceOf(errors.ConnectionError);
    expect(client.reason).to.include({ code: "connection", status: 4999, message: "As you wish" });
    expect(isBack).to.equal(false);
    await told;
    expect(client.reason).to.equal(undefined);
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(states).to.deep.equal(["waiting", "connecting", "open"]);
  },

  "comes back each time": async ({ connect }) => {
    const client = connect();
    let returns = 0;
    client.onreconnect(() => returns++);
    for (let time = 1; time <= 3; time++) {
      client.rpc("test.drop", 4999);
      await happened(client, "reconnect");
      expect(returns).to.equal(time);
    }
  },

  "does not come back after a refusal of the server, and says so to all that wait": async ({
    connect,
    errors,
  }) => {
    const client = connect();
    await drop(client, 4403);
    expect(client.state).to.equal("closed");
    expect(client.reason).to.be.instanceOf(errors.UnauthorizedError);
    expect(await failure(client.rpc("echo"))).to.equal(client.reason);
    expect(await failure(client.ready())).to.equal(client.reason);
  },

  "is in its channels again before it says that it is back": async ({ connect, unique }) => {
    const client = connect();
    const [one, two, given] = [unique("one"), unique("two"), unique("given")];
    await client.subscribe(one);
    await client.subscribe(two);
    await client.rpc("test.join", given);
    const messages = new Collected();
    client.onmessage((...args) => messages.add(args));
    client.rpc("test.drop", 4999);
    await happened(client, "reconnect");
    expect(client.channels()).to.deep.equal([one, two, given]);
    for (const channel of [one, two, given]) {
      expect(await members(client, channel)).to.equal(1);
      await client.publish(channel, `on ${channel}`);
    }
    expect(await messages.until(3)).to.deep.equal(
      [one, two, given].map((channel) => [channel, `on ${channel}`]),
    );
  },

  "leaves a channel that the server does not let it join again, and only that": async ({
    connect,
    unique,
    errors,
  }) => {
    const client = connect();
    const [room, lost] = [unique("room"), unique("lost")];
    await client.subscribe(room);
    await client.subscribe(lost);
    await client.rpc("test.lock", lost);
    const left = happened(client, "unsubscribed");
    client.rpc("test.drop", 4999);
    await happened(client, "reconnect");
    const [channel, error] = await left;
    expect(channel).to.equal(lost);
    expect(error).to.be.instanceOf(errors.ForbiddenError);
    expect(client.channels()).to.deep.equal([room]);
  },

  "does not join again what was left meanwhile": async ({ connect, unique }) => {
    const client = connect({ backoff: SLOW });
    const [room, left] = [unique("room"), unique("left")];
    await client.subscribe(room);
    await client.subscribe(left);
    await drop(client);
    const done = client.unsubscribe(left);
    expect(client.channels()).to.deep.equal([room]);
    await client.reauthenticate();
    await done;
    expect(await members(client, left)).to.equal(0);
    expect(await members(client, room)).to.equal(1);
  },

  "joins after all what it was about to join": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("held");
    const joined = client.subscribe(room);
    // the server has the request when it answers the next one
    await client.rpc("echo");
    await drop(client);
    await client.rpc("test.release", room);
    await joined;
    expect(await members(client, room)).to.equal(1);
  },

  "then sends what has waited, in order, after its channels are back": async ({ connect, unique }) => {
    const client = connect({ backoff: SLOW });
    const room = unique("room");
    await client.subscribe(room);
    await drop(client);
    const calls = [1, 2, 3].map((value) => client.rpc("test.note", { name: room, value }));
    await client.reauthenticate();
    await Promise.all(calls);
    expect(await client.rpc("test.notes", room)).to.deep.equal(["joined", "joined", 1, 2, 3]);
  },

  "never sends again what it had sent: the outcome is unknown": async ({ connect, unique, errors }) => {
    const client = connect();
    const name = unique("call");
    const call = failure(client.rpc("test.hang", name));
    expect(await client.rpc("test.began", name)).to.equal(1);
    client.rpc("test.drop", 4999);
    const error = await call;
    expect(error).to.be.instanceOf(errors.DisconnectedError);
    expect(error).to.include({ code: "disconnected", sent: true });
    expect(await client.rpc("test.began", name)).to.equal(1);
    // the server's function is told that nobody waits any more
    expect(await client.rpc("test.fired", name)).to.equal("fired");
  },

  "goes when the server asks for it, but not before its calls are answered": async ({
    connect,
    unique,
    errors,
  }) => {
    const client = connect({ ping: 20 });
    const [room, name, left] = [unique("room"), unique("call"), unique("left")];
    await client.subscribe(room);
    await client.subscribe(left);
    const before = await me(client);
    const answered = client.rpc("test.wait", name);
    // what the server writes before its answer comes first
    await client.rpc("test.write", [LEAVE]);
    const states: State[] = [];
    client.on("state", (state) => states.push(state));
    const later = [client.rpc("test.note", { name, value: 1 }), client.rpc("test.note", { name, value: 2 })];
    const unsubscribed = client.unsubscribe(left);
    const impatient = await failure(client.rpc("echo", 1, { queue: false }));
    expect(impatient).to.be.instanceOf(errors.DisconnectedError);
    expect(impatient).to.include({ code: "disconnected", sent: false });
    const other = connect();
    expect(await other.rpc("test.notes", name)).to.deep.equal([]);
    expect(states).to.deep.equal([]);
    await other.rpc("test.release", name);
    expect(await answered).to.equal("released");
    await happened(client, "reconnect");
    await Promise.all(later);
    await unsubscribed;
    expect(await client.rpc("test.notes", name)).to.deep.equal([1, 2]);
    expect(states).to.deep.equal(["waiting", "connecting", "open"]);
    expect((await me(client)).sid).to.not.equal(before.sid);
    // over polling it takes the server a while to notice
    await client.rpc("test.gone", before.sid);
    expect(await members(client, room)).to.equal(1);
    expect(await members(client, left)).to.equal(0);
  },

  "goes at once when the server asks for it and nothing is under way": async ({ connect, errors }) => {
    const client = connect({ backoff: SLOW });
    await client.rpc("test.write", [LEAVE]);
    const reason = await inState(client, "waiting");
    expect(reason).to.be.instanceOf(errors.ConnectionError);
    expect(reason).to.include({ code: "connection", status: 4000 });
    const call = client.rpc("echo", 1);
    await client.reauthenticate();
    expect(await call).to.equal(1);
  },

  "goes when what is under way is given up or takes too long": async ({ connect, unique, errors }) => {
    const client = connect();
    const name = unique("call");
    const abort = new AbortController();
    await client.ready();
    const aborted = failure(client.rpc("test.hang", name, { signal: abort.signal }));
    const late = failure(client.rpc("test.hang", name, { timeout: 200 }));
    await client.rpc("test.write", [LEAVE]);
    abort.abort();
    expect(await aborted).to.be.instanceOf(errors.AbortedError);
    expect(await late).to.be.instanceOf(errors.TimeoutError);
    await happened(client, "reconnect");
    expect(await client.rpc("echo", 1)).to.equal(1);
  },

  "fails at once what must not wait": async ({ connect, errors }) => {
    const client = connect({ backoff: SLOW });
    const impatient = connect({ backoff: SLOW, queue: false });
    await Promise.all([drop(client), impatient.ready().then(() => drop(impatient))]);
    for (const call of [
      client.rpc("echo", 1, { queue: false }),
      client.publish("room", 1, { queue: false }),
      impatient.rpc("echo", 1),
    ]) {
      const error = await failure(call);
      expect(error).to.be.instanceOf(errors.DisconnectedError);
      expect(error).to.include({ code: "disconnected", sent: false });
    }
    await client.reauthenticate();
    expect(await client.rpc("echo", 1, { queue: false })).to.equal(1);
  },

  "lets wait only so many calls and bytes": async ({ connect, errors }) => {
    const client = connect({ backoff: SLOW, queue: { count: 2, bytes: 300 } });
    await client.ready();
    await drop(client);
    const large = await failure(client.rpc("echo", "x".repeat(300)));
    expect(large).to.be.instanceOf(errors.QueueError);
    expect(large).to.include({ code: "queue_full", sent: false });
    const waiting = [client.rpc("echo", 1), client.rpc("echo", 2)];
    expect(await failure(client.rpc("echo", 3))).to.include({ code: "queue_full", sent: false });
    await client.reauthenticate();
    expect(await Promise.all(waiting)).to.deep.equal([1, 2]);
  },

  "lets nothing wait for too long": async ({ connect, errors }) => {
    const client = connect({ backoff: SLOW, queue: { age: 20 } });
    await client.ready();
    await drop(client);
    const error = await failure(client.rpc("echo"));
    expect(error).to.be.instanceOf(errors.QueueError);
    expect(error).to.include({ code: "queue_expired", sent: false });
  },

  "gives up what waits when it is aborted or takes too long": async ({ connect, errors, unique }) => {
    const client = connect({ backoff: SLOW });
    const name = unique("call");
    await client.ready();
    await drop(client);
    const abort = new AbortController();
    const aborted = failure(client.rpc("test.hang", name, { signal: abort.signal }));
    const late = failure(client.rpc("test.hang", name, { timeout: 20 }));
    abort.abort("enough");
    expect(await aborted).to.be.instanceOf(errors.AbortedError);
    expect(await late).to.be.instanceOf(errors.TimeoutError);
    await client.reauthenticate();
    expect(await client.rpc("test.began", name)).to.equal(0);
  },

  "connects at once where it is told to authenticate": async ({ connect }) => {
    const client = connect({ backoff: SLOW });
    await client.ready();
    await drop(client);
    expect(client.state).to.equal("waiting");
    await client.reauthenticate();
    expect(await inState(client, "open")).to.equal(undefined);
  },
});
