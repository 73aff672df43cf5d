import { expect } from "chai";
import sinon from "sinon";
import { Lifecycle, type LifecycleParts } from "../../lib/server/lifecycle.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("The life of a server", () => {
  let lifecycle: Lifecycle<object>;
  /** What has been done, in its order. */
  let done: string[];
  let redis: { health: { client: boolean; subscriber: boolean | undefined } };
  let startup: { isReady: boolean };
  let own: { draining: boolean };
  /** What waits until the test lets it go on, by its name. */
  let holding: Map<string, () => void>;
  let ready: Promise<void>;

  beforeEach(() => {
    done = [];
    holding = new Map();
    ready = Promise.resolve();
    const note = (name: string) => () => void done.push(name);
    /** Notes, and resolves at once, or where the test holds it up when that lets it. */
    const slow = (name: string) => () => {
      done.push(name);
      if (!holding.has(name)) return Promise.resolve();
      return new Promise<void>((resolve) => holding.set(name, resolve));
    };
    const parts = {
      redis: {
        health: { client: true, subscriber: true },
        stopChecks: note("checks"),
        release: note("release"),
      },
      startup: { isReady: true, ready, stop: note("startup") },
      registry: {
        own: { id: "me", sockets: 2, channels: 3, eventLoopDelay: 4, draining: false },
        alive: 5,
        update: slow("update"),
        close: slow("registry"),
      },
      tokenRoute: { pause: note("pause route") },
      handshakes: { pause: note("pause handshakes") },
      connections: {
        close: note("connections"),
        drain: (time: number) => slow(`drain ${time}`)(),
      },
      presence: { close: slow("presence") },
      pubsub: { close: slow("pubsub") },
      endReach: slow("reach"),
      entrances: [{ close: note("entrance 1") }, { close: note("entrance 2") }],
      deciders: [{ close: note("decider 1") }, { close: note("decider 2") }],
    };
    ({ redis, startup } = parts);
    own = parts.registry.own;
    lifecycle = new Lifecycle(parts as unknown as LifecycleParts<object>);
  });
  afterEach(() => sinon.restore());

  const END = [
    ...["entrance 1", "entrance 2", "checks", "startup", "connections", "decider 1", "decider 2"],
    ...["presence", "pubsub", "reach", "registry", "release"],
  ];
  const hold = (name: string) => holding.set(name, () => {});
  const letGo = (name: string) => holding.get(name)?.();

  it("is healthy as long as Redis is there, its start is over, and it is not to end", () => {
    const isReady = () => lifecycle.health().ready;
    expect(lifecycle.health()).to.deep.equal({
      ready: true,
      redis: { client: true, subscriber: true },
      sockets: 2,
      draining: false,
      id: "me",
      channels: 3,
      eventLoopDelay: 4,
      servers: 5,
    });
    redis.health.subscriber = undefined;
    expect(isReady()).to.equal(true);
    redis.health.subscriber = false;
    expect(isReady()).to.equal(false);
    redis.health = { client: false, subscriber: true };
    expect(isReady()).to.equal(false);
    redis.health.client = true;
    startup.isReady = false;
    expect(isReady()).to.equal(false);
    startup.isReady = true;
    own.draining = true;
    expect([isReady(), lifecycle.health().draining]).to.deep.equal([false, true]);
  });

  it("begins when its start is over", () => {
    expect(lifecycle.ready()).to.equal(ready);
  });

  it("ends once, from the entrances on, and lets go of Redis when all is written", async () => {
    hold("registry");
    expect([lifecycle.isClosed, lifecycle.isDraining]).to.deep.equal([false, false]);
    const ending = lifecycle.shutdown();
    expect(lifecycle.shutdown()).to.equal(ending);
    expect([lifecycle.isClosed, lifecycle.isDraining]).to.deep.equal([true, true]);
    await turn();
    expect(done).to.deep.equal(END.slice(0, -1));
    letGo("registry");
    await ending;
    expect(done).to.deep.equal(END);
  });

  for (const name of ["presence", "pubsub", "reach", "registry"]) {
    it(`ends after five seconds where ${name} does not, and with no timer where all do`, async () => {
      const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      hold(name);
      const ending = lifecycle.shutdown();
      await turn();
      clock.tick(4999);
      await turn();
      expect(done).to.not.include("release");
      clock.tick(1);
      await ending;
      expect(done.at(-1)).to.equal("release");
      // its entry may say that members are there only as long as these have not left
      expect(done.includes("registry")).to.equal(name !== "presence");
      expect(clock.countTimers()).to.equal(0);
    });
  }

  it("leaves no timer", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await lifecycle.shutdown();
    expect(clock.countTimers()).to.equal(0);
  });

  it("ends with a drain, once, of which other servers are told", async () => {
    hold("drain 7");
    const draining = lifecycle.drain(7);
    expect(lifecycle.drain(8)).to.equal(draining);
    expect([lifecycle.isDraining, lifecycle.isClosed]).to.deep.equal([true, false]);
    await turn();
    expect(done).to.deep.equal(["pause route", "pause handshakes", "drain 7", "update"]);
    letGo("drain 7");
    await draining;
    expect(done.slice(4)).to.deep.equal(END);
  });

  it("is drained no more once it has ended", async () => {
    await lifecycle.shutdown();
    await lifecycle.drain(7);
    expect(done).to.deep.equal([...END, "pause route", "pause handshakes"]);
  });
});
