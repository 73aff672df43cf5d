import { expect } from "chai";
import { subject } from "./context.js";
import { Collected, called, drop, failure, happened, inState, members } from "./helpers.js";

export const channels = subject("A client's channels", {
  "are joined and left": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    const heard: unknown[] = [];
    client.on("subscribed", (...args) => heard.push(["subscribed", ...args]));
    client.on("unsubscribed", (...args) => heard.push(["unsubscribed", ...args]));
    await client.subscribe(room);
    await client.subscribe(room);
    expect(await members(client, room)).to.equal(1);
    expect(client.channels()).to.deep.equal([room]);
    await client.unsubscribe(room);
    await client.unsubscribe(room);
    expect(await members(client, room)).to.equal(0);
    expect(client.channels()).to.deep.equal([]);
    expect(heard).to.deep.equal([
      ["subscribed", room],
      ["unsubscribed", room, undefined],
    ]);
  },

  "answer by callbacks, too": async ({ connect, unique, errors }) => {
    const client = connect();
    const room = unique("room");
    const done = [null, undefined];
    expect(await called((callback) => client.subscribe(room, callback))).to.deep.equal(done);
    expect(await called((callback) => client.publish(room, 1, callback))).to.deep.equal(done);
    expect(await called((callback) => client.broadcast(1, callback))).to.deep.equal(done);
    expect(await called((callback) => client.unsubscribe(room, callback))).to.deep.equal(done);
    const limits = { timeout: 10_000 };
    for (const [error] of [
      await called((callback) => client.subscribe("secret", callback, limits)),
      await called((callback) => client.broadcast("refused", callback, limits)),
    ]) {
      expect(error).to.be.instanceOf(errors.ForbiddenError);
    }
    const [error] = await called((callback) => client.publish("read-only", 1, callback, limits));
    expect(error).to.have.property("message", "Read only");
  },

  "carry any JSON to all who have joined them": async ({ connect, unique }) => {
    const room = unique("room ü👋");
    const values = [{ text: "ü 你好 👩‍👩‍👧" }, null, 0, "", [[]], "x".repeat(60_000)];
    const [sender, reader] = [connect(), connect()];
    const [sent, read] = [new Collected(), new Collected()];
    sender.onmessage((...args) => sent.add(args));
    reader.on("message", (...args) => read.add(args));
    await Promise.all([sender.subscribe(room), reader.subscribe(room)]);
    for (const value of values) await sender.publish(room, value);
    await sender.publish(unique("elsewhere"), "not here");
    const expected = values.map((value) => [room, value]);
    expect(await sent.until(values.length)).to.deep.equal(expected);
    expect(await read.until(values.length)).to.deep.equal(expected);
  },

  "carry broadcasts, all of them": async ({ connect, unique }) => {
    const client = connect();
    const rooms = [unique("one"), unique("two")];
    for (const room of rooms) await client.subscribe(room);
    const messages = new Collected<unknown[]>();
    client.onmessage((...args) => messages.add(args));
    await client.broadcast({ to: "all" });
    expect(await messages.until(2)).to.have.deep.members(rooms.map((room) => [room, { to: "all" }]));
  },

  "carry what the server publishes, broadcasts or sends to one client": async ({ connect, unique }) => {
    const client = connect();
    const [room, other] = [unique("room"), unique("other")];
    await client.subscribe(room);
    const messages = new Collected();
    client.onmessage((...args) => messages.add(args));
    await client.rpc("test.publish", { channel: room, data: 1 });
    await messages.until(1);
    await client.rpc("test.broadcast", 2);
    await messages.until(2);
    await client.rpc("test.send", { channel: other, data: 3 });
    expect(await messages.until(3)).to.deep.equal([
      [room, 1],
      [room, 2],
      [other, 3],
    ]);
  },

  "have a message when the server says so": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("held");
    let isDone = false;
    const published = client.publish(room, 1).then(() => {
      isDone = true;
    });
    await client.rpc("echo");
    expect(isDone).to.equal(false);
    await client.rpc("test.release", room);
    await published;
  },

  "are refused with the server's reason": async ({ connect, unique, errors }) => {
    const client = connect();
    const { ForbiddenError, InvalidRequestError, RemoteError } = errors;
    expect(await failure(client.subscribe(unique("secret")))).to.be.instanceOf(ForbiddenError);
    expect(await failure(client.subscribe("___all___"))).to.be.instanceOf(ForbiddenError);
    expect(await failure(client.subscribe("x".repeat(257)))).to.be.instanceOf(InvalidRequestError);
    expect(await failure(client.publish("read-only", 1)))
      .to.be.instanceOf(RemoteError)
      .with.property("message", "Read only");
    expect(await failure(client.broadcast("refused"))).to.be.instanceOf(ForbiddenError);
    expect(client.channels()).to.deep.equal([]);
  },

  "stay where the server does not let the client go": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("sticky");
    await client.subscribe(room);
    expect(await failure(client.unsubscribe(room))).to.have.property("message", "Stay");
    expect(client.channels()).to.deep.equal([room]);
    expect(await members(client, room)).to.equal(1);
  },

  "may be joined and left by the server's doing": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    const heard: unknown[] = [];
    client.on("subscribed", (...args) => heard.push(["subscribed", ...args]));
    client.on("unsubscribed", (...args) => heard.push(["unsubscribed", ...args]));
    await client.rpc("test.join", room);
    expect(client.channels()).to.deep.equal([room]);
    await client.rpc("test.leave", room);
    expect(client.channels()).to.deep.equal([]);
    expect(heard).to.deep.equal([
      ["subscribed", room],
      ["unsubscribed", room, undefined],
    ]);
  },
});

export const loops = subject("A loop over a channel", {
  "gets the channel's messages, and leaves it by its break": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    const left = happened(client, "unsubscribed");
    client.on("subscribed", () => {
      for (const text of ["a", "b", "stop", "c"]) client.publish(room, text);
    });
    const heard: unknown[] = [];
    for await (const text of client.channel(room)) {
      if (text === "stop") break;
      heard.push(text);
    }
    expect(heard).to.deep.equal(["a", "b"]);
    expect(await left).to.deep.equal([room, undefined]);
    expect(await members(client, room)).to.equal(0);
  },

  "joins nothing before it asks for the first message": async ({ connect, unique }) => {
    const client = connect();
    const messages = client.channel(unique("room"));
    await client.rpc("echo");
    expect(client.channels()).to.deep.equal([]);
    expect(await messages.return?.()).to.deep.equal({ done: true, value: undefined });
    expect(await messages.next()).to.deep.equal({ done: true, value: undefined });
    expect(client.channels()).to.deep.equal([]);
  },

  "shares the subscription with others": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    const [one, two] = [client.channel(room), client.channel(room)];
    const [first, second] = [one.next(), two.next()];
    await inChannel();
    await client.publish(room, 1);
    expect((await first).value).to.equal(1);
    expect((await second).value).to.equal(1);
    await one.return?.();
    await client.publish(room, 2);
    expect((await two.next()).value).to.equal(2);
    expect(await members(client, room)).to.equal(1);
    const left = happened(client, "unsubscribed");
    await two.return?.();
    await left;
    expect(await members(client, room)).to.equal(0);

    async function inChannel() {
      while ((await members(client, room)) === 0) await client.rpc("echo");
    }
  },

  "does not leave what was joined otherwise": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    await client.subscribe(room);
    const messages = client.channel(room);
    const message = messages.next();
    await client.publish(room, 1);
    expect((await message).value).to.equal(1);
    await messages.return?.();
    expect(await members(client, room)).to.equal(1);
    expect(client.channels()).to.deep.equal([room]);
  },

  "goes on after a reconnect": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    const joined = happened(client, "subscribed");
    const heard = new Collected();
    const loop = (async () => {
      for await (const message of client.channel(room)) {
        heard.add(message);
        if (message === "stop") return;
      }
    })();
    await joined;
    await client.publish(room, 1);
    await heard.until(1);
    client.rpc("test.drop", 4999);
    await happened(client, "reconnect");
    await client.publish(room, 2);
    await client.publish(room, "stop");
    await loop;
    expect(heard.items).to.deep.equal([1, 2, "stop"]);
  },

  "gets what waits to be read, then ends, when the channel is left": async ({ connect, unique }) => {
    const client = connect();
    const room = unique("room");
    await client.subscribe(room);
    const messages = client.channel(room);
    const first = messages.next();
    const heard = new Collected();
    client.onmessage((...args) => heard.add(args));
    await client.publish(room, 1);
    await client.publish(room, 2);
    await heard.until(2);
    await client.unsubscribe(room);
    expect(await first).to.deep.equal({ done: false, value: 1 });
    expect(await messages.next()).to.deep.equal({ done: false, value: 2 });
    expect(await messages.next()).to.deep.equal({ done: true, value: undefined });
  },

  "ends when the client does": async ({ connect, unique }) => {
    const client = connect();
    const joined = happened(client, "subscribed");
    const next = client.channel(unique("room")).next();
    await joined;
    await client.end();
    expect(await next).to.deep.equal({ done: true, value: undefined });
  },

  "throws where the channel is refused, and where the connection is closed for good": async ({
    connect,
    unique,
    errors,
  }) => {
    const client = connect();
    expect(await failure(client.channel(unique("secret")).next())).to.be.instanceOf(errors.ForbiddenError);
    const joined = happened(client, "subscribed");
    const next = failure(client.channel(unique("room")).next());
    await joined;
    await drop(client, 4403);
    expect(await next).to.equal(await inState(client, "closed"));
  },

  "throws after what it could keep, where it reads too slowly": async ({ connect, unique, errors }) => {
    const client = connect();
    const room = unique("room");
    await client.subscribe(room);
    const messages = client.channel(room, { limit: 2 });
    const first = messages.next();
    const heard = new Collected();
    client.onmessage((...args) => heard.add(args));
    await client.publish(room, 0);
    expect((await first).value).to.equal(0);
    for (const value of [1, 2, 3]) await client.publish(room, value);
    await heard.until(4);
    expect((await messages.next()).value).to.equal(1);
    expect((await messages.next()).value).to.equal(2);
    const error = await failure(messages.next());
    expect(error).to.be.instanceOf(errors.OverflowError).with.property("code", "overflow");
    expect(await messages.next()).to.deep.equal({ done: true, value: undefined });
  },
});
