import { Agenda } from "./agenda.js";
import { EventLoop } from "./event-loop.js";
import { Histogram } from "./histogram.js";
import { type Costs, type Deployment, messageRate, signsOfLife, type Workload } from "./model.js";
import { Random } from "./random.js";

export interface SimulationOptions {
  readonly workload: Workload;
  readonly deployment: Deployment;
  readonly costs: Costs;
  readonly seed: number;
  /** How many messages are published, about; the first tenth is not counted. */
  readonly messages: number;
  /** How many of them are published at once. Default 1. */
  readonly burst?: number;
  /** `random`: a Poisson process, the default. `even`: a clock's. */
  readonly arrivals?: "random" | "even";
}

/** What servers, or nodes of Redis, have been through. */
export interface LoopResult {
  /** The part of the time that their jobs take: what grows with each message. */
  readonly busy: number;
  /** Likewise with the turns, which are the fewer the more there is in each. */
  readonly awake: number;
  /** The mean time before a job is begun, and that of a turn, in microseconds. */
  readonly wait: number;
  readonly turn: number;
}

export interface SimulationResult {
  /** The mean of all servers. */
  readonly server: LoopResult;
  /** Likewise of the nodes; with one channel in sharded pub/sub, of the one that has it. */
  readonly redis: LoopResult;
  /** From publishing to each socket, in microseconds. */
  readonly delay: { readonly p50: number; readonly p99: number; readonly p999: number };
  readonly deliveries: number;
}

/** How many of a message's deliveries on one server are looked at, evenly spread. */
const SAMPLES = 16;

const NOTHING: LoopResult = { busy: 0, awake: 0, wait: 0, turn: 0 };

/** The part of the time at the start in which nothing is counted yet. */
const WARM_UP = 0.1;

/**
 * Messages on their way from whoever publishes through Redis to sockets. Each server and each node of Redis does one job after
 * the other, for as long as the costs say; the network takes no time. Gives the same for the same seed.
 */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

/** How many of a channel's sockets a server has. */
type Membership = readonly [server: number, sockets: number];

class Simulation {
  readonly #options: SimulationOptions;
  readonly #random: Random;
  readonly #agenda = new Agenda();
  readonly #servers: readonly EventLoop[];
  readonly #nodes: readonly EventLoop[];
  readonly #delays = new Histogram();
  #deliveries = 0;
  #isCounting = false;

  constructor(options: SimulationOptions) {
    const { servers, redis } = options.deployment;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#servers = Array.from({ length: servers }, () => new EventLoop(this.#agenda, options.costs.turn));
    this.#nodes = Array.from({ length: redis.nodes }, () => new EventLoop(this.#agenda, 0));
  }

  run(): SimulationResult {
    const { workload, deployment, messages, burst = 1, arrivals = "random" } = this.#options;
    const { sockets } = deployment;
    const isOnOneNode = deployment.redis.kind === "sharded" && workload.members === Number.POSITIVE_INFINITY;
    const loops = [
      { of: this.#servers, used: this.#servers.length },
      { of: this.#nodes, used: isOnOneNode ? 1 : this.#nodes.length },
    ];
    const perMicrosecond = messageRate(workload, sockets) / 1e6;
    const end = messages / perMicrosecond;
    this.#repeat(perMicrosecond / burst, arrivals, () => {
      for (let count = 0; count < burst; count++) this.#publish();
    });
    this.#repeat(signsOfLife(sockets) / 1e6, "random", () => {
      this.#anyServer()?.take(this.#options.costs.call);
    });
    this.#agenda.run(end * WARM_UP);
    const before = loops.map(({ of }) => sum(of));
    this.#isCounting = true;
    this.#agenda.run(end);
    const [server = NOTHING, redis = NOTHING] = loops.map(({ of, used }, index) => {
      const after = sum(of);
      const { work, awake, waited, jobs, turns } = before[index] ?? after;
      const time = end * (1 - WARM_UP) * used;
      return {
        busy: (after.work - work) / time,
        awake: (after.awake - awake) / time,
        wait: (after.waited - waited) / Math.max(1, after.jobs - jobs),
        turn: (after.awake - awake) / Math.max(1, after.turns - turns),
      };
    });
    const delay = {
      p50: this.#delays.quantile(0.5),
      p99: this.#delays.quantile(0.99),
      p999: this.#delays.quantile(0.999),
    };
    return { server, redis, delay, deliveries: this.#deliveries };
  }

  #repeat(perMicrosecond: number, arrivals: "random" | "even", act: () => void): void {
    if (perMicrosecond === 0) return;
    const next = () => {
      const wait = arrivals === "even" ? 1 / perMicrosecond : this.#random.wait(perMicrosecond);
      this.#agenda.add(this.#agenda.now + wait, () => {
        act();
        next();
      });
    };
    next();
  }

  #anyServer(): EventLoop | undefined {
    return this.#servers[this.#random.below(this.#servers.length)];
  }

  #publish(): void {
    const { workload, costs } = this.#options;
    const published = this.#agenda.now;
    if (!workload.isByClients) return this.#passOn(published);
    this.#anyServer()?.take(costs.call, (at) =>
      this.#agenda.add(at + costs.call, () => this.#passOn(published)),
    );
  }

  /** Redis has got the message. */
  #passOn(published: number): void {
    const { deployment, costs, workload } = this.#options;
    const { kind, nodes } = deployment.redis;
    const members = this.#members();
    const isOneChannel = workload.members === Number.POSITIVE_INFINITY;
    switch (kind) {
      case "one":
        this.#copy(0, costs.publish, members, published);
        return;
      case "sharded": {
        const node = isOneChannel ? 0 : this.#random.below(nodes);
        this.#copy(node, costs.shardPublish, members, published);
        return;
      }
      case "cluster": {
        const entry = this.#random.below(nodes);
        const of = (node: number) => members.filter(([server]) => server % nodes === node);
        const first = costs.publish + (nodes - 1) * costs.busSend;
        this.#copy(entry, first, of(entry), published, () => {
          for (let node = 0; node < nodes; node++) {
            if (node !== entry) this.#copy(node, costs.busReceive, of(node), published);
          }
        });
      }
    }
  }

  /** The servers that have members of a message's channel, and how many. */
  #members(): Membership[] {
    const { workload, deployment } = this.#options;
    const { servers, sockets } = deployment;
    if (workload.members === Number.POSITIVE_INFINITY) {
      return Array.from({ length: servers }, (_, server) => [server, sockets / servers]);
    }
    const counts = new Map<number, number>();
    for (let member = 0; member < workload.members; member++) {
      const server = this.#random.below(servers);
      counts.set(server, (counts.get(server) ?? 0) + 1);
    }
    return [...counts];
  }

  /** A node hands a message to servers, and then does something else. */
  #copy(
    node: number,
    first: number,
    members: readonly Membership[],
    published: number,
    then: () => void = () => {},
  ): void {
    const service = first + members.length * this.#options.costs.copy;
    this.#nodes[node]?.take(service, (at) =>
      this.#agenda.add(at + service, () => {
        for (const [server, sockets] of members) this.#deliver(server, sockets, published);
        then();
      }),
    );
  }

  #deliver(server: number, sockets: number, published: number): void {
    const { message, delivery } = this.#options.costs;
    this.#servers[server]?.take(message + sockets * delivery, (at) => {
      if (!this.#isCounting) return;
      this.#deliveries += sockets;
      const samples = Math.min(sockets, SAMPLES);
      for (let sample = 1; sample <= samples; sample++) {
        const place = Math.round((sample * sockets) / samples);
        this.#delays.add(at + message + place * delivery - published, sockets / samples);
      }
    });
  }
}

function sum(loops: readonly EventLoop[]) {
  const of = (name: "work" | "awake" | "waited" | "jobs" | "turns") =>
    loops.reduce((total, loop) => total + loop[name], 0);
  return { work: of("work"), awake: of("awake"), waited: of("waited"), jobs: of("jobs"), turns: of("turns") };
}
