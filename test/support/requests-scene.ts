import { expect } from "chai";
import sinon from "sinon";
import type { ChannelClient } from "../../lib/server/connection/channel-client.js";
import {
  type ChannelFrame,
  type ChannelRequestParts,
  ChannelRequests,
} from "../../lib/server/connection/channel-requests.js";
import type { GuardResult } from "../../lib/server/events/guards.js";
import type { Outcome } from "../../lib/shared/errors.js";
import type { RequestHead } from "../../lib/shared/protocol.js";

export interface User {
  id: number;
}

/** Resolves after a turn of the event loop. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A promise, and what settles it. */
export function later<T>() {
  let resolve = (_value: T) => {};
  let reject = (_error: unknown) => {};
  const promise = new Promise<T>((onResolve, onReject) => {
    [resolve, reject] = [onResolve, onReject];
  });
  return { promise, resolve, reject };
}

/** A client's requests about channels, whose guards, schemas and Redis say what a test wants. */
export class RequestsScene {
  client!: ReturnType<RequestsScene["makeClient"]>;
  requests!: ChannelRequests<User>;
  /** What the guards, the schemas and Redis say. */
  decide!: (event: string) => GuardResult | Promise<GuardResult>;
  check!: (data: unknown) => Outcome | Promise<Outcome>;
  join!: sinon.SinonStub;
  leave!: () => Promise<void>;
  publish!: sinon.SinonStub;
  hears!: boolean;
  hasHistory!: boolean;
  /** The events that have guards. */
  guarded!: Set<string>;
  limits!: { framesWaiting: number; bytesWaiting: number; recoverMessages: number; bufferedBytes: number };
  memberships!: ReturnType<RequestsScene["makeMemberships"]>;
  pubsub!: { enabled: boolean };
  revoke!: sinon.SinonStub;
  forget!: sinon.SinonSpy;
  notify!: sinon.SinonSpy;
  reported!: unknown[][];
  debugged!: string[];
  asked!: unknown[][];
  joined!: Set<string>;
  requested!: Set<string>;

  readonly makeClient = () => ({
    closed: false,
    rights: 0,
    protocol: 4,
    wantsHistory: true,
    channels: {} as Record<string, true>,
    membership: undefined as { from: Map<string, number> | undefined } | undefined,
    socket: { sid: "7" },
    refuse: sinon.spy(),
    acknowledge: sinon.spy(),
    answer: sinon.spy(),
  });

  readonly makeMemberships = () => ({
    beginJoin: sinon.spy((_client: unknown, channel: string) => ({ channel, isOverruled: false })),
    endJoin: sinon.spy(),
    has: (_client: unknown, channel: string) => this.joined.has(channel),
    hasRequested: (_client: unknown, channel: string) => this.requested.has(channel),
    reserve: sinon.stub().returns(true),
    release: sinon.spy(),
    setFrom: sinon.spy(),
  });

  readonly reader = {
    before: sinon.stub(),
    after: sinon.stub(),
  };

  /** Sets it for a test. */
  set(): void {
    this.client = this.makeClient();
    this.memberships = this.makeMemberships();
    this.decide = () => ({ allowed: true });
    this.check = (value) => ({ status: "result", value });
    this.join = sinon.stub().returns({ done: undefined });
    this.leave = async () => {};
    this.publish = sinon.stub().resolves(undefined);
    this.revoke = sinon.stub().resolves();
    this.notify = sinon.spy();
    [this.hears, this.hasHistory] = [true, true];
    [this.guarded, this.forget] = [new Set(["subscribe"]), sinon.spy()];
    this.limits = { framesWaiting: 3, bytesWaiting: 100, recoverMessages: 50, bufferedBytes: 4000 };
    [this.reported, this.debugged, this.asked] = [[], [], []];
    [this.joined, this.requested] = [new Set(), new Set()];
    const page = { entries: [], at: { epoch: "e", offset: 2, tag: "2" }, lost: undefined, hasMore: false };
    this.reader.before.reset();
    this.reader.before.resolves(page);
    const all = {
      enabled: true,
      memberships: this.memberships,
      reader: () => (this.hasHistory ? this.reader : undefined),
      filtered: (_client: unknown, _channel: string, json: string) => json,
      join: this.join,
      leave: () => this.leave(),
      publishJson: this.publish,
      revoke: this.revoke,
    };
    this.pubsub = all;
    const observe = async (_client: unknown, _channel: string, answer: (page: object) => boolean) => {
      answer({ v: 1, count: 0 });
    };
    const parts = {
      exposeErrors: false,
      limits: this.limits,
      guards: {
        has: (event: string) => this.guarded.has(event),
        decide: (event: string, _socket: unknown, request: unknown) => {
          this.asked.push([event, request]);
          return this.decide(event);
        },
      },
      channelSchemas: { check: (_channel: string, data: unknown) => this.check(data) },
      pubsub: all,
      reporter: {
        error: (...args: unknown[]) => this.reported.push(args),
        debug: (message: () => string) => this.debugged.push(message()),
      },
      notify: this.notify,
      hears: () => this.hears,
      presence: {
        has: (channel: string) => channel === "room",
        observes: () => true,
        observe,
        forget: this.forget,
      },
    };
    this.requests = new ChannelRequests<User>(
      this.client as unknown as ChannelClient<User>,
      parts as unknown as ChannelRequestParts<User>,
    );
  }

  readonly headOf = (uuid: number): RequestHead => ({ rpc: "r", uuid });
  readonly add = (frame: object, bytes = 1) =>
    this.requests.add({ head: this.headOf(1), channel: "room", ...frame } as unknown as ChannelFrame, bytes);
  readonly subscribe = (others: object = {}, bytes?: number) =>
    this.add({ type: "subscribe", req: { channel: "room" }, ...others }, bytes);
  readonly unsubscribe = () => this.add({ type: "unsubscribe", req: {} });
  readonly publishOne = (others: object = {}, bytes?: number) =>
    this.add({ type: "publish", data: { a: 1 }, ...others }, bytes);
  readonly broadcast = () => this.add({ type: "broadcast", data: 7, channel: undefined });
  readonly history = (part: object = {}) => this.add({ type: "history", part });

  /** Expects the one answer that there was. */
  readonly refused = (error: unknown, head = this.headOf(1)) => {
    expect(this.client.refuse.args).to.deep.equal([[head, error]]);
    expect([this.client.acknowledge.callCount, this.client.answer.callCount]).to.deep.equal([0, 0]);
  };
  readonly acknowledged = (times = 1) => {
    expect([this.client.acknowledge.callCount, this.client.refuse.callCount]).to.deep.equal([times, 0]);
  };
}

/** Sets a scene for each test of the suite around it. */
export function requestsScene(): RequestsScene {
  const scene = new RequestsScene();
  beforeEach(() => scene.set());
  return scene;
}
