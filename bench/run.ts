import { connect } from "node:net";
import { type RedisServer, startRedis } from "../test/support/redis-server.js";
import { compile, Publisher } from "./children.js";
import type { ContenderDefinition } from "./contenders.js";
import type { CaseResult, Failure } from "./report/results.js";
import type { Scale, Scenario } from "./scenarios/scenario.js";
import { Session } from "./session.js";

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

/** Runs each scenario, the contenders in turn in each round. */
export async function run(plan: Plan): Promise<Outcome> {
  await compile();
  const redis = await startRedis({ own: true });
  const publishers = new Map<string, Promise<Publisher>>();
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
          const error = await runOne(plan, scenario, contender, round, own, redis, publishers);
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
  redis: RedisServer,
  publishers: Map<string, Promise<Publisher>>,
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
        const session = await Session.start({
          contender,
          setup: { functions: 1, filter: false, ...setup, redis: isInRedis ? redis.port : undefined },
          publisher: isInRedis ? await publisherOf() : undefined,
          profileFolder,
        });
        try {
          await use(session);
        } finally {
          await session.end();
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
