import { expect } from "chai";
import { ForbiddenError, OverflowError, type TokenSocket } from "../../lib/client/index.js";
import { deferred, failure, happened, inState, type Place, Stage } from "./support.js";

describe("A client's channels", () => {
  let stage: Stage;
  let place: Place;
  let client: TokenSocket;

  beforeEach(async () => {
    stage = new Stage();
    place = await stage.application();
    client = stage.client(place);
  });
  afterEach(() => stage.clear());

  const members = (channel: string) => place.tokenServer.channelSockets(channel).length;

  /** Ends a stream of a room when its first message has come. */
  const endAfter = async (first: Promise<unknown>, stream: AsyncIterableIterator<unknown>) => {
    await client.publish("room", 1);
    await first;
    await stream.return?.();
    // goes after the leave, if there is one
    await failure(client.rpc("any"));
  };

  it("are joined and left, and say so when the server has done it", async () => {
    await client.subscribe("room");
    expect(members("room")).to.equal(1);
    expect(client.channels()).to.deep.equal(["room"]);
    await client.subscribe("room");
    expect(client.channels()).to.deep.equal(["room"]);
    await client.unsubscribe("room");
    expect(members("room")).to.equal(0);
    expect(client.channels()).to.deep.equal([]);
    const called = deferred<unknown[]>();
    client.subscribe("other", (...args) => called.resolve(args));
    expect((await called.promise)[0]).to.equal(null);
  });

  it("carry messages, and broadcasts, to their listeners", async () => {
    const heard: unknown[] = [];
    const all = deferred();
    client.onmessage((...args) => {
      if (heard.push(args) === 3) all.resolve();
    });
    await client.subscribe("room");
    await client.publish("room", { text: "hello" });
    await client.broadcast(["any", "JSON"]);
    await client.publish("elsewhere", 1);
    await client.publish("room", null);
    await all.promise;
    expect(heard).to.deep.equal([
      ["room", { text: "hello" }],
      ["room", ["any", "JSON"]],
      ["room", null],
    ]);
  });

  it("stay joined where a second join is refused, also when a stream of theirs ends", async () => {
    let isAllowed = true;
    place.tokenServer.on("subscribe", (_socket, _request, callback) => callback(null, isAllowed));
    const stream = client.channel("room");
    const first = stream.next();
    await client.subscribe("room");
    isAllowed = false;
    expect(await failure(client.subscribe("room"))).to.be.instanceOf(ForbiddenError);
    await endAfter(first, stream);
    expect([members("room"), client.channels()]).to.deep.equal([1, ["room"]]);
  });

  it("are left with the stream that has joined them where another join of theirs is refused", async () => {
    let isAllowed = true;
    place.tokenServer.on("subscribe", (_socket, _request, callback) => callback(null, isAllowed));
    const joined = happened(client, "subscribed");
    const stream = client.channel("room");
    const first = stream.next();
    await joined;
    isAllowed = false;
    expect(await failure(client.subscribe("room"))).to.be.instanceOf(ForbiddenError);
    await endAfter(first, stream);
    expect([members("room"), client.channels()]).to.deep.equal([0, []]);
  });

  it("stay joined where one of two joins beside a stream is given up, and the stream ends before the other", async () => {
    const asked = deferred();
    const answer = deferred();
    let isFirst = true;
    place.tokenServer.on("subscribe", (_socket, _request, callback) => {
      if (isFirst) return callback(null, true);
      asked.resolve();
      answer.promise.then(() => callback(null, true));
    });
    const joined = happened(client, "subscribed");
    const stream = client.channel("room");
    const first = stream.next();
    await joined;
    isFirst = false;
    const abort = new AbortController();
    const givenUp = failure(client.subscribe("room", { signal: abort.signal }));
    const joining = client.subscribe("room");
    await asked.promise;
    abort.abort();
    await givenUp;
    await stream.return?.();
    await first;
    answer.resolve();
    await joining;
    // goes after the leave, if there is one
    await failure(client.rpc("any"));
    expect([members("room"), client.channels()]).to.deep.equal([1, ["room"]]);
  });

  it("stay joined where they are joined again while they are left, also when a stream of theirs ends", async () => {
    await client.subscribe("room");
    const left = happened(client, "unsubscribed");
    const leaving = client.unsubscribe("room");
    const joining = client.subscribe("room");
    await left;
    const stream = client.channel("room");
    const first = stream.next();
    await Promise.all([leaving, joining]);
    await endAfter(first, stream);
    expect([members("room"), client.channels()]).to.deep.equal([1, ["room"]]);
  });

  it("have a message when the server says so, not when it is sent", async () => {
    await client.ready();
    const asked = deferred<() => void>();
    place.tokenServer.on("publish", (_socket, _request, callback) =>
      asked.resolve(() => callback(null, true)),
    );
    let isDone = false;
    const published = client.publish("room", 1).then(() => {
      isDone = true;
    });
    const allow = await asked.promise;
    await failure(client.rpc("any"));
    expect(isDone).to.equal(false);
    allow();
    await published;
  });

  it("are refused with the guard's reason", async () => {
    place.tokenServer.on("publish", (_socket, _request, callback) => callback(new Error("Read only")));
    place.tokenServer.on("subscribe", (_socket, { channel }, callback) =>
      callback(null, channel !== "secret"),
    );
    expect(await failure(client.subscribe("secret"))).to.be.instanceOf(ForbiddenError);
    expect(await failure(client.publish("room", 1))).to.have.property("message", "Read only");
    expect(await failure(client.broadcast(1).then(() => client.subscribe("___all___")))).to.be.instanceOf(
      ForbiddenError,
    );
    expect(client.channels()).to.deep.equal([]);
  });

  it("that the server joins and leaves are known, too", async () => {
    const heard: unknown[] = [];
    client.on("subscribed", (channel) => heard.push(["subscribed", channel]));
    client.on("unsubscribed", (channel, error) => heard.push(["unsubscribed", channel, error]));
    await client.ready();
    await place.tokenServer.subscribe(place.application.socket(), "news");
    await failure(client.rpc("any"));
    expect(client.channels()).to.deep.equal(["news"]);
    await place.tokenServer.unsubscribe(place.application.socket(), "news");
    await failure(client.rpc("any"));
    expect(client.channels()).to.deep.equal([]);
    expect(heard).to.deep.equal([
      ["subscribed", "news"],
      ["unsubscribed", "news", undefined],
    ]);
  });

  for (const turns of [1, 2, 7]) {
    for (const breath of ["at once", "after a turn", "after an answer"]) {
      it(`are read by the newest of ${turns + 1} loops that begin ${breath} as another ends`, async () => {
        await client.ready();
        let stream = client.channel("room");
        let next = stream.next();
        await happened(client, "subscribed");
        for (let i = 0; i < turns; i++) {
          await stream.return?.();
          if (breath === "after a turn") await new Promise((resolve) => setImmediate(resolve));
          if (breath === "after an answer") await client.rpc("nowhere").catch(() => {});
          stream = client.channel("room");
          next = stream.next();
        }
        // whatever is under way is over when this loop's own join is answered
        for (let i = 0; i < 3; i++) await client.rpc("nowhere").catch(() => {});
        await place.tokenServer.publish("room", 1);
        expect(await next).to.deep.equal({ done: false, value: 1 });
        const left = happened(client, "unsubscribed");
        await stream.return?.();
        await left;
        expect(client.channels()).to.deep.equal([]);
        expect(place.tokenServer.channelSockets("room")).to.deep.equal([]);
      });
    }
  }

  it("are joined again in one go after a reconnect, however many", async () => {
    const names = Array.from({ length: 900 }, (_, index) => `room ${index}`);
    await client.ready();
    for (let index = 0; index < names.length; index += 400) {
      await Promise.all(names.slice(index, index + 400).map((name) => client.subscribe(name)));
    }
    place.cut();
    await happened(client, "reconnect");
    expect(client.channels()).to.deep.equal(names);
    expect(names.map(members).every((count) => count === 1)).to.equal(true);
  });

  it("that take long to be joined again keep neither the client nor the others away", async () => {
    const patient = stage.client(place, { connectTimeout: 200 });
    await patient.subscribe("slow");
    await patient.subscribe("fast");
    const slow = deferred();
    place.tokenServer.on("subscribe", async (_socket, { channel }) => {
      if (channel === "slow") await slow.promise;
      return true;
    });
    const states: string[] = [];
    patient.on("state", (state) => states.push(state));
    place.cut();
    await happened(patient, "reconnect");
    expect(states).to.deep.equal(["waiting", "connecting", "open"]);
    expect(members("fast")).to.equal(1);
    expect(members("slow")).to.equal(0);
    const joined = new Promise((resolve) => place.tokenServer.once("subscribed", resolve));
    slow.resolve();
    await joined;
    expect(patient.channels()).to.deep.equal(["slow", "fast"]);
    expect(members("slow")).to.equal(1);
  });

  it("are joined again also where there are more than the server takes at once", async () => {
    const small = await stage.application({ options: { limits: { framesWaiting: 20 } } });
    // while it decides, the requests wait
    small.tokenServer.on("subscribe", async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return true;
    });
    const names = Array.from({ length: 50 }, (_, index) => `room ${index}`);
    const many = stage.client(small);
    for (const name of names) await many.subscribe(name);
    small.cut();
    await happened(many, "reconnect");
    expect(many.channels()).to.deep.equal(names);
    expect(small.application.socket().channels).to.have.all.keys(names);
  });

  it("to which the server does not let the client in again are left, and only these", async () => {
    await client.subscribe("secret");
    await client.subscribe("room");
    place.tokenServer.on("subscribe", (_socket, { channel }, callback) =>
      callback(null, channel !== "secret"),
    );
    const left = happened(client, "unsubscribed");
    place.cut();
    await happened(client, "reconnect");
    const [channel, error] = await left;
    expect(channel).to.equal("secret");
    expect(error).to.be.instanceOf(ForbiddenError);
    expect(client.channels()).to.deep.equal(["room"]);
  });

  it("are joined after all where the connection is lost meanwhile", async () => {
    await client.ready();
    const asked = deferred();
    place.tokenServer.once("subscribe", () => {
      asked.resolve();
      return new Promise(() => {});
    });
    const joined = client.subscribe("room");
    await asked.promise;
    place.cut();
    await joined;
    expect(members("room")).to.equal(1);
  });

  it("are not joined by a join that was given up", async () => {
    const asked = [deferred(), deferred()] as const;
    const decide = deferred();
    let guards = 0;
    place.tokenServer.on("subscribe", async () => {
      asked[guards++]?.resolve();
      await decide.promise;
      return true;
    });
    const heard: unknown[] = [];
    client.on("subscribed", (channel) => heard.push(channel));
    client.on("unsubscribed", (channel) => heard.push(channel));
    await client.ready();
    const abort = new AbortController();
    const aborted = failure(client.subscribe("aborted", { signal: abort.signal }));
    const late = failure(client.subscribe("late", { timeout: 100 }));
    await Promise.all(asked.map(({ promise }) => promise));
    abort.abort();
    expect(await aborted).to.have.property("code", "aborted");
    expect(await late).to.have.property("code", "timeout");
    const left = deferred();
    let leaves = 0;
    place.tokenServer.on("unsubscribed", () => ++leaves === 2 && left.resolve());
    decide.resolve();
    await left.promise;
    await failure(client.rpc("any"));
    expect(client.channels()).to.deep.equal([]);
    expect(heard).to.deep.equal([]);
    expect(members("aborted") + members("late")).to.equal(0);
    // one that is wanted otherwise stays
    await client.subscribe("both");
    const again = new AbortController();
    const second = failure(client.subscribe("both", { signal: again.signal }));
    again.abort();
    await second;
    await failure(client.rpc("any"));
    expect(members("both")).to.equal(1);
  });

  it("that are left while they are joined again stay left", async () => {
    for (const queue of [false, true]) {
      await client.subscribe("room");
      const asked = deferred();
      const decide = deferred();
      place.tokenServer.once("subscribe", async () => {
        asked.resolve();
        await decide.promise;
        return true;
      });
      const heard: unknown[] = [];
      const note = (channel: string) => heard.push(channel);
      client.on("subscribed", note);
      const back = happened(client, "reconnect");
      place.cut();
      await asked.promise;
      const left = client.unsubscribe("room", { queue });
      if (!queue) await left;
      expect(client.channels()).to.deep.equal([]);
      const gone = new Promise((resolve) => place.tokenServer.once("unsubscribed", resolve));
      decide.resolve();
      await Promise.all([back, left, gone]);
      await failure(client.rpc("any"));
      expect(client.channels()).to.deep.equal([]);
      expect(heard).to.deep.equal([]);
      expect(members("room")).to.equal(0);
      client.off("subscribed", note);
    }
  });

  it("that are left without a connection are not joined again", async () => {
    await client.subscribe("room");
    place.cut();
    await inState(client, "waiting");
    const [joined, left] = [client.subscribe("other"), client.unsubscribe("other")];
    const gone = client.unsubscribe("room");
    expect(client.channels()).to.deep.equal([]);
    await Promise.all([joined, left, gone]);
    expect(members("room") + members("other")).to.equal(0);
  });

  describe("read by a loop", () => {
    const publish = (message: unknown) => place.tokenServer.publish("room", message);

    it("are joined with it, and left with it", async () => {
      const stream = client.channel<number>("room");
      const first = stream.next();
      await happened(client, "subscribed");
      for (const number of [1, 2, 3]) await publish(number);
      expect(await first).to.deep.equal({ done: false, value: 1 });
      const left = happened(client, "unsubscribed");
      const read: number[] = [];
      for await (const message of stream) {
        read.push(message);
        if (message === 3) break;
      }
      expect(read).to.deep.equal([2, 3]);
      await left;
      expect(members("room")).to.equal(0);
      expect(await stream.next()).to.deep.equal({ done: true, value: undefined });
    });

    it("share one subscription, which ends with the last of them", async () => {
      const streams = [client.channel("room"), client.channel("room")] as const;
      const reads = streams.map((stream) => stream.next());
      await happened(client, "subscribed");
      await publish(1);
      expect((await Promise.all(reads)).map(({ value }) => value)).to.deep.equal([1, 1]);
      await streams[0].return?.();
      const read = streams[1].next();
      await publish(2);
      expect((await read).value).to.equal(2);
      const left = happened(client, "unsubscribed");
      await streams[1].return?.();
      await left;
    });

    it("are left with the last of them, also where that has begun after they were joined", async () => {
      const first = client.channel("room");
      const read = first.next();
      await happened(client, "subscribed");
      const second = client.channel("room");
      const other = second.next();
      await publish(1);
      expect((await Promise.all([read, other])).map(({ value }) => value)).to.deep.equal([1, 1]);
      const left = happened(client, "unsubscribed");
      await first.return?.();
      await second.return?.();
      await left;
      expect(members("room")).to.equal(0);
    });

    it("stay joined where the application has joined them itself", async () => {
      await client.subscribe("room");
      const stream = client.channel("room");
      const read = stream.next();
      await publish(1);
      await read;
      await stream.return?.();
      await failure(client.rpc("any"));
      expect(client.channels()).to.deep.equal(["room"]);
    });

    it("stay joined where the application joins them while a loop ends", async () => {
      const stream = client.channel("room");
      const read = stream.next();
      await happened(client, "subscribed");
      const joined = client.subscribe("room");
      await stream.return?.();
      expect((await read).done).to.equal(true);
      await joined;
      await failure(client.rpc("any"));
      expect(client.channels()).to.deep.equal(["room"]);
      expect(members("room")).to.equal(1);
    });

    it("go on after a reconnect", async () => {
      const stream = client.channel("room");
      const read = stream.next();
      await happened(client, "subscribed");
      place.cut();
      await happened(client, "reconnect");
      await publish("still here");
      expect((await read).value).to.equal("still here");
    });

    it("end when the channel is left or the client ends", async () => {
      const stream = client.channel("room");
      const read = stream.next();
      await happened(client, "subscribed");
      await client.unsubscribe("room");
      expect(await read).to.deep.equal({ done: true, value: undefined });
      const other = client.channel("room").next();
      await happened(client, "subscribed");
      await client.end();
      expect(await other).to.deep.equal({ done: true, value: undefined });
      expect(await failure(client.channel("room").next())).to.have.property("code", "disconnected");
    });

    it("fail where the server refuses them", async () => {
      place.tokenServer.on("subscribe", (_socket, _request, callback) => callback(null, false));
      const stream = client.channel("room");
      expect(await failure(stream.next())).to.be.instanceOf(ForbiddenError);
      expect((await stream.next()).done).to.equal(true);
    });

    it("fail when more waits to be read than may", async () => {
      const stream = client.channel("room", { limit: 2 });
      const read = stream.next();
      await happened(client, "subscribed");
      const left = happened(client, "unsubscribed");
      for (const number of [1, 2, 3, 4]) await publish(number);
      await left;
      expect((await read).value).to.equal(1);
      expect([await stream.next(), await stream.next()].map(({ value }) => value)).to.deep.equal([2, 3]);
      expect(await failure(stream.next())).to.be.instanceOf(OverflowError);
      expect((await stream.next()).done).to.equal(true);
    });
  });
});
