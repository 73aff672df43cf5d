import { connect } from "node:net";
import { type RedisServer, startRedis } from "../test/support/redis-server.js";
import { compile, Publisher, ServerProcess } from "./children.js";
import type { ContenderDefinition } from "./contenders.js";
import type { CaseResult, Failure } from "./report/results.js";
import type { Scale, Scenario } from "./scenarios/scenario.js";
import { Session } from "./session.js";

/** What a server has that a case asks for nothing else. */
const NOTHING_ELSE = { functions: 1, filter: false, recovery: false, presence: false };

export interface Plan {
  readonly contenders: readonly ContenderDefinition[];
  readonly scenarios: readonly Scenario[];
  readonly scale: Scale;
  /** Where the CPU profiles of the servers go. */
  readonly profileFolder?: string | undefined;
  /** Called as it goes on. */
  readonly onProgress?: (line: string) => void;
  /** Called when all rounds of a scenario are done, with its cases, and with all that there is so far. */
  readonly onResults?: (cases: readonly CaseResult[], all: Outcome) => void;
}

export interface Outcome {
  readonly cases: readonly CaseResult[];
  readonly failures: readonly Failure[];
  readonly redisVersion: string;
}

/** What runs beside. */
interface Processes {
  readonly redis: RedisServer;
  /** By what they speak. */
  readonly publishers: Map<string, Promise<Publisher>>;
  /** By contender and setup. */
  readonly servers: Map<string, ServerProcess>;
}

/** Runs each scenario, the contenders in turn in each round. */
export async function run(plan: Plan): Promise<Outcome> {
  await compile();
  const redis = await startRedis({ own: true });
  const processes: Processes = { redis, publishers: new Map(), servers: new Map() };
  const cases: CaseResult[] = [];
  const failures: Failure[] = [];
  try {
    const redisVersion = await versionOf(redis);
    for (const scenario of plan.scenarios) {
      const own: CaseResult[] = [];
      const rounds = scenario.isLong ? plan.scale.longRounds : plan.scale.rounds;
      for (let round = 1; round <= rounds; round++) {
        for (const contender of plan.contenders) {
          if (!takesPart(contender, scenario)) continue;
          const start = performance.now();
          const error = await runOne(plan, scenario, contender, round, own, processes);
          const seconds = ((performance.now() - start) / 1000).toFixed(1);
          if (error)
            failures.push({ scenario: scenario.name, contender: contender.name, round, message: error });
          plan.onProgress?.(
            `${scenario.name}, round ${round} of ${rounds}, ${contender.name}: ${error ?? `${seconds} s`}`,
          );
        }
      }
      cases.push(...own);
      plan.onResults?.(own, { cases, failures, redisVersion });
    }
    return { cases, failures, redisVersion };
  } finally {
    const { publishers, servers } = processes;
    await Promise.all([...servers.values()].map((server) => server.stop()));
    await Promise.all([...publishers.values()].map(async (publisher) => (await publisher).stop()));
    await redis.stop();
  }
}

/** Whether a contender is measured in a scenario. */
export function takesPart({ scenarios, features }: ContenderDefinition, { name, needs }: Scenario): boolean {
  return (scenarios?.includes(name) ?? true) && (needs === undefined || features.includes(needs));
}

/** Resolves with what went wrong. */
async function runOne(
  { scale, profileFolder }: Plan,
  scenario: Scenario,
  contender: ContenderDefinition,
  round: number,
  cases: CaseResult[],
  { redis, publishers, servers }: Processes,
): Promise<string | undefined> {
  const dialect = contender.dialect === "socket.io" ? "socket.io" : "plain";
  const publisherOf = () => {
    const publisher = publishers.get(dialect) ?? Publisher.start(redis.port, dialect);
    publishers.set(dialect, publisher);
    return publisher;
  };
  try {
    await scenario.run({
      contender,
      scale,
      withServer: async (setup, use) => {
        const isInRedis = contender.store === "redis";
        const port = isInRedis ? redis.port : undefined;
        const whole = { ...NOTHING_ELSE, ...setup, redis: port };
        const key = JSON.stringify([contender.name, whole]);
        const publisher = isInRedis ? await publisherOf() : undefined;
        const server = servers.get(key) ?? (await ServerProcess.start(contender, whole));
        servers.set(key, server);
        const session = new Session({ contender, server, redis: port, publisher, profileFolder });
        try {
          await use(session);
        } finally {
          session.end();
          if (scale.freshServers) {
            servers.delete(key);
            await server.stop();
          }
        }
      },
      record: (name, figures) => {
        let result = cases.find((known) => known.name === name);
        if (!result) {
          const { name: scenarioName, title, unit } = scenario;
          result = { scenario: scenarioName, title, unit, name, rounds: {} };
          cases.push(result);
        }
        const rounds = result.rounds[contender.name] ?? [];
        rounds[round - 1] = figures;
        result.rounds[contender.name] = rounds;
      },
    });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function versionOf({ port, host }: RedisServer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write("INFO server\r\n"));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(/redis_version:(\S+)/.exec(String(data))?.[1] ?? "unknown");
    });
  });
}
