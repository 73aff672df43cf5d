/** What work costs: microseconds of one core for one of each. */
export interface Costs {
  /** Of a server: a turn of its event loop, in which it takes all that has come meanwhile. */
  readonly turn: number;
  /** A message that comes from Redis, without its deliveries. */
  readonly message: number;
  /** A delivery of it to one socket. */
  readonly delivery: number;
  /** A call of a client, with its answer; a publish of a client, and a sign of life with its answer, count as one. */
  readonly call: number;
  /** Token, connection, identity and channels of a client. */
  readonly login: number;
  /** Of Redis: a `PUBLISH` on a channel without subscribers. */
  readonly publish: number;
  /** A copy of it to one subscriber, which is a server. */
  readonly copy: number;
  /** A `SUBSCRIBE`. */
  readonly subscribe: number;
  /** `SET` and `GETDEL` of a token. */
  readonly token: number;
  /** A `SPUBLISH`, likewise without subscribers. */
  readonly shardPublish: number;
  /** In a cluster: handing a message to one other node, and taking it there. */
  readonly busSend: number;
  readonly busReceive: number;
}

/** What users do. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Sockets in the channel of a message, wherever they are connected; Infinity for all. */
  readonly members: number;
  /** Messages a second that each socket causes. */
  readonly perSocket: number;
  /** Messages a second that come whoever is there. */
  readonly fixed: number;
  /** Whether clients publish, over their sockets, or a service, in Redis. */
  readonly isByClients: boolean;
}

export type RedisKind = "one" | "cluster" | "sharded";

/** One instance, or a cluster of so many masters with classic or with sharded pub/sub. */
export interface Redis {
  readonly kind: RedisKind;
  readonly nodes: number;
}

/** What carries it: servers of one core each, on which sockets are spread evenly. */
export interface Deployment {
  readonly sockets: number;
  readonly servers: number;
  readonly redis: Redis;
}

export const ONE: Redis = { kind: "one", nodes: 1 };

export const WORKLOADS = {
  chat: {
    name: "chat",
    title: "Chat: rooms of ten, each user writes once a minute",
    members: 10,
    perSocket: 1 / 60,
    fixed: 0,
    isByClients: true,
  },
  ticker: {
    name: "ticker",
    title: "Ticker: one message a second to all",
    members: Number.POSITIVE_INFINITY,
    perSocket: 0,
    fixed: 1,
    isByClients: false,
  },
  notifications: {
    name: "notifications",
    title: "Notifications: each user gets one of their own a minute",
    members: 1,
    perSocket: 1 / 60,
    fixed: 0,
    isByClients: false,
  },
} as const satisfies Record<string, Workload>;

/** How often a socket and its server ask each other for a sign of life, in seconds: `ping` and `heartbeat`. */
export const SIGN_OF_LIFE = 25;

/** How busy a core may be with jobs, so that there is room for what comes in bursts and for clients that come back. */
export const MOST_BUSY = 0.7;

/** What a process may have on its heap of live objects, in bytes: half of what Node.js has where memory is ample. */
export const MOST_HEAP = 2 * 2 ** 30;

/** Jobs of one kind for one server or node: how many a second, the mean of their times, and that of the times' squares. */
export interface Flow {
  readonly rate: number;
  readonly mean: number;
  readonly square: number;
}

/**
 * The part of the time that jobs take; above 1 where something cannot keep up. A server's turns come on top, but take only what
 * is left: the less time there is, the more is in each.
 */
export function utilisation(flows: readonly Flow[]): number {
  return flows.reduce((sum, { rate, mean }) => sum + (rate * mean) / 1e6, 0);
}

/** How long a turn of an event loop takes that never rests: all that comes in one turn is done in the next. */
export function meanTurn(turn: number, flows: readonly Flow[]): number {
  const busy = utilisation(flows);
  return busy >= 1 ? Number.POSITIVE_INFINITY : turn / (1 - busy);
}

/** How long a job waits before it is begun, in microseconds (Pollaczek and Khinchine: Poisson arrivals, one at a time). */
export function meanWait(flows: readonly Flow[]): number {
  const busy = utilisation(flows);
  if (busy >= 1) return Number.POSITIVE_INFINITY;
  return flows.reduce((sum, { rate, square }) => sum + (rate * square) / 1e6, 0) / (2 * (1 - busy));
}

export function messageRate({ perSocket, fixed }: Workload, sockets: number): number {
  return fixed + perSocket * sockets;
}

/** A number that varies. */
interface Spread {
  readonly mean: number;
  readonly variance: number;
}

/** How many servers have at least one of the members of a channel, each of which may be anywhere. */
export function serversReached({ members }: Workload, servers: number): Spread {
  if (members === Number.POSITIVE_INFINITY) return { mean: servers, variance: 0 };
  const [none, neither] = [(1 - 1 / servers) ** members, Math.max(0, 1 - 2 / servers) ** members];
  const variance = servers * (servers - 1) * neither + servers * none - (servers * none) ** 2;
  return { mean: servers * (1 - none), variance: Math.max(0, variance) };
}

/** What one server has to do. */
export function serverFlows(workload: Workload, deployment: Deployment, costs: Costs): Flow[] {
  const { sockets, servers } = deployment;
  return [...messageFlows(workload, deployment, costs), calls(signsOfLife(sockets) / servers, costs)];
}

/** Likewise, without the signs of life. */
export function messageFlows(workload: Workload, { sockets, servers }: Deployment, costs: Costs): Flow[] {
  const rate = messageRate(workload, sockets);
  const { members } = workload;
  const isAll = members === Number.POSITIVE_INFINITY;
  const [here, part] = [isAll ? sockets / servers : members / servers, 1 / servers];
  // how often it is reached, and the mean square of how many of the members it has
  const reached = serversReached(workload, servers).mean / servers;
  const hereSquared = here ** 2 + (isAll ? 0 : members * part * (1 - part));
  const { message, delivery } = costs;
  const deliveries = {
    rate: rate * reached,
    mean: message + (delivery * here) / reached,
    square: message ** 2 + (2 * message * delivery * here + delivery ** 2 * hereSquared) / reached,
  };
  return workload.isByClients ? [deliveries, calls(rate / servers, costs)] : [deliveries];
}

function calls(rate: number, { call }: Costs): Flow {
  return { rate, mean: call, square: call ** 2 };
}

/** How many signs of life there are a second. */
export function signsOfLife(sockets: number): number {
  return (2 * sockets) / SIGN_OF_LIFE;
}

/** What one Redis instance, or the busiest node of a cluster, has to do to pass messages on. */
export function redisFlows(
  workload: Workload,
  { sockets, servers, redis }: Deployment,
  costs: Costs,
): Flow[] {
  return redisFlowsOf(
    messageRate(workload, sockets),
    serversReached(workload, servers),
    workload,
    redis,
    costs,
  );
}

function redisFlowsOf(
  rate: number,
  reached: Spread,
  { members }: Pick<Workload, "members">,
  { kind, nodes }: Redis,
  costs: Costs,
): Flow[] {
  const isAll = members === Number.POSITIVE_INFINITY;
  const flow = (perSecond: number, first: number, { mean, variance }: Spread): Flow => {
    const service = first + mean * costs.copy;
    return { rate: perSecond, mean: service, square: service ** 2 + variance * costs.copy ** 2 };
  };
  switch (kind) {
    case "one":
      return [flow(rate, costs.publish, reached)];
    case "cluster": {
      const part = 1 / nodes;
      const own = {
        mean: reached.mean * part,
        variance: isAll ? 0 : part ** 2 * reached.variance + part * (1 - part) * reached.mean,
      };
      return [
        flow(rate * part, costs.publish + (nodes - 1) * costs.busSend, own),
        flow(rate * (1 - part), costs.busReceive, own),
      ];
    }
    case "sharded":
      // one channel is on one node, however many there are
      return [flow(isAll ? rate : rate / nodes, costs.shardPublish, reached)];
  }
}

/** How many messages a second Redis passes on when it is as busy as it may be, each to so many servers. */
export function publishCapacity(copies: number, redis: Redis, costs: Costs): number {
  const flows = redisFlowsOf(1, { mean: copies, variance: 0 }, { members: copies }, redis, costs);
  return MOST_BUSY / utilisation(flows);
}

/** What classic pub/sub in a cluster comes to with more and more nodes: each of them takes each message. */
export function clusterBound({ busSend, busReceive }: Costs): number {
  return (MOST_BUSY * 1e6) / (busSend + busReceive);
}

/** The largest whole number, up to a bound, for which something holds that holds for all smaller ones; 0 for none. */
export function largest(bound: number, holds: (number: number) => boolean): number {
  let [yes, no] = [0, bound + 1];
  while (no - yes > 1) {
    const middle = Math.floor((yes + no) / 2);
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

/** The smallest one for which something holds that holds for all larger ones; undefined where there is none. */
export function smallest(bound: number, holds: (number: number) => boolean): number | undefined {
  const below = largest(bound, (number) => !holds(number));
  return below === bound ? undefined : below + 1;
}
