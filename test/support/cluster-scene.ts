import sinon from "sinon";
import { Refreshes, Revocations } from "../../lib/server/auth/revocations.js";
import type { Selection } from "../../lib/server/auth/selectors.js";
import type { AnswerPart } from "../../lib/server/cluster/answers.js";
import type { Question } from "../../lib/server/cluster/asker.js";
import { Cluster, type ClusterParts } from "../../lib/server/cluster/cluster.js";
import type { Outcome } from "../../lib/server/cluster/inquiry.js";
import type { Action } from "../../lib/server/cluster/requests.js";
import type { SocketTarget } from "../../lib/server/cluster/target.js";
import type { Connection } from "../../lib/server/connection/connection.js";
import { ConnectionIndex } from "../../lib/server/connection/connection-index.js";
import { steadyNow } from "../../lib/server/limits/clock.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import type { JsonObject } from "../../lib/shared/protocol.js";

type Auth = unknown;
type Tell = (part: AnswerPart) => void;

const TOKEN_TTL = 30_000;

/** Lets every promise that is settled already run its handlers. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export const ofAnn = { by: "identity", value: "ann" } as const;
export const ofSession = { by: "sessionId", value: "secret session" } as const;
export const EMPTY: Outcome = { answers: [], missing: [], count: 0, found: [], isMore: false };

/** A socket of this server; `age` is that of its token, in milliseconds. */
function connectionOf(sid: string, key?: string, sessionId?: string, age = 10) {
  const identity = key === undefined ? undefined : { key, sessionId, issuedAt: steadyNow() - age };
  const connection = {
    sid,
    identity,
    identified: identity !== undefined,
    refresh: sinon.stub().returns(true),
    close: sinon.spy(),
  };
  return connection as typeof connection & Connection<Auth>;
}

/** The server "here" of a cluster, which sees of the others what the test has them say. */
export class ClusterScene {
  /** What has been given to Redis, in that order. */
  readonly done: [command: string, ...given: unknown[]][] = [];
  readonly lists = new Map<string, string[]>();
  /** By the name of a command of Redis: what it fails with. */
  readonly failures = new Map<string, Error>();
  readonly questions: Question[] = [];
  /** This server's own answers to its questions. */
  readonly own: AnswerPart[] = [];
  readonly outcome: Outcome = { ...EMPTY, count: 7 };
  /** What the asker was told, and what it was to tell others. */
  readonly asker = {
    id: "here",
    answerTo: "here",
    started: Promise.resolve(),
    ask: async (question: Question, own: (tell: Tell) => void) => {
      own((part) => this.own.push(part));
      this.questions.push(question);
      return { ...this.outcome, connections: await question.send() };
    },
    echo: sinon.spy(),
    count: sinon.spy(),
    answer: sinon.spy(),
    show: sinon.spy(),
    close: sinon.spy(),
  };
  readonly carryOut = sinon.stub<[SocketTarget, Action, Tell], void>();
  readonly reporter = {
    error: sinon.spy(),
    outage: sinon.spy(),
    debug: sinon.spy((text: () => string) => text()),
  };
  readonly emptied: string[] = [];
  readonly index = new ConnectionIndex<Connection<Auth>>();
  readonly revocations = new Revocations(TOKEN_TTL);
  readonly refreshes = new Refreshes(TOKEN_TTL);
  readonly cluster: Cluster<Auth>;

  constructor({ enabled = true } = {}) {
    const note = async (command: string, ...given: unknown[]) => {
      this.done.push([command, ...given]);
      const failure = this.failures.get(command);
      if (failure) throw failure;
    };
    const parts = {
      key: "revoked",
      limits: { ...DEFAULT_LIMITS, redisTimeout: 4000 },
      index: this.index,
      revocations: this.revocations,
      refreshes: this.refreshes,
      reporter: this.reporter,
      responder: { carryOut: this.carryOut },
      publisher: {
        append: (key: string, json: string, count: number, ttl: number) =>
          note("append", key, JSON.parse(json), count, ttl),
        remove: (key: string, json: string) => note("remove", key, JSON.parse(json)),
        list: async (key: string) => {
          await note("list", key);
          return this.lists.get(key) ?? [];
        },
      },
      pubsub: {
        enabled,
        sharing: 2,
        broadcastCommand: async (json: string) => {
          await note("broadcast", JSON.parse(json));
          return 5;
        },
        emptyHere: async (channel: string) => void this.emptied.push(channel),
      },
      identityChannels: {
        sharing: (key: string) => (key === "ann" ? 3 : 0),
        publish: async (key: string, json: string) => {
          await note("publish", key, JSON.parse(json));
          return 6;
        },
      },
      asker: this.asker,
    };
    this.cluster = new Cluster(parts as unknown as ClusterParts<Auth>);
  }

  add(...given: Parameters<typeof connectionOf>) {
    const connection = connectionOf(...given);
    this.index.add(connection);
    return connection;
  }

  /** The commands that were given to Redis, by their names. */
  get commands(): string[] {
    return this.done.map(([command]) => command);
  }

  /** What all servers were told. */
  get told(): JsonObject[] {
    return this.done
      .filter(([command]) => command === "broadcast")
      .map(([, message]) => message as JsonObject);
  }

  /** The sockets that this server has told another one of. */
  get answers(): unknown[] {
    return this.asker.answer.args.map(([, , part]) => part.answers.map(({ sid }: { sid: string }) => sid));
  }

  /** Has another server tell something. */
  hear(command: string, data: unknown, more: JsonObject = {}): void {
    this.cluster.receive({ command, data, id: "heard", origin: "there", answerTo: "there", ...more });
  }

  /** Has this server read what the lists in Redis have for it. */
  async miss(lists: Readonly<Record<string, readonly unknown[]>>): Promise<void> {
    for (const [key, values] of Object.entries(lists)) {
      this.lists.set(
        key,
        values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))),
      );
    }
    this.cluster.catchUp();
    await settled();
  }

  /** Whether a token is refused that was asked for so long ago, or so soon from now. */
  isRevoked({ by, value }: Selection, age: number): boolean {
    const owner = {
      key: by === "identity" ? value : undefined,
      sessionId: by === "sessionId" ? value : undefined,
    };
    return this.revocations.find({ ...owner, issuedAt: steadyNow() - age }) !== undefined;
  }
}

export const revoked = (selection: Selection, age = 0, more: JsonObject = {}) => ({
  ...selection,
  code: 4100,
  reason: "Logged out",
  at: Date.now() - age,
  ...more,
});

/** A revocation as it stands in Redis. */
export const entryOf = (selection: Selection, age = 0, more: JsonObject = {}, id = "missed") => ({
  command: "disconnect",
  data: revoked(selection, age, more),
  id,
  origin: "there",
});

/** What an error says, or that there was none. */
export const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "none",
    (error: unknown) => error,
  );

export const CLOSED = { code: 4100, reason: "Logged out", reconnect: true };
