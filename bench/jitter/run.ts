import { setTimeout as sleep } from "node:timers/promises";
import { startRedis } from "../../test/support/redis-server.js";
import { SeverableLine } from "../../test/support/severable-line.js";
import { ServerProcess } from "../children.js";
import { Random } from "../scaling/random.js";
import type { JitterClient } from "./clients.js";
import type { JitterContender } from "./contenders.js";
import { Ledger, type Tally, total } from "./ledger.js";

/** How much a row does. All times are in milliseconds. */
export interface JitterScale {
  readonly clients: number;
  readonly messages: number;
  /** Between two messages. */
  readonly every: number;
  /** Between the end of one cut of a line and the next cut: from half of it to half as much again. */
  readonly cutEvery: number;
  readonly cutFor: number;
  /** How long the clients have at most to get what they lack, when all is mended. */
  readonly settle: number;
  readonly seed: number;
}

export const FULL_JITTER: JitterScale = {
  clients: 500,
  messages: 120,
  every: 500,
  cutEvery: 15_000,
  cutFor: 2000,
  settle: 20_000,
  seed: 1,
};

/** What happens to the two servers. */
export type Row = "cuts" | "kill";
export const ROWS: readonly Row[] = ["cuts", "kill"];

const CHANNEL = "channel-0";
const SIZE = 100;
/** How many clients connect at once. */
const AT_ONCE = 50;
/** How often it is looked whether all have all, and then how long it is waited for what comes twice. */
const LOOK = 100;
const AFTER = 2000;

/** A client with its line, which leads to one of the servers. */
class JitterLine {
  readonly ledger = new Ledger();
  readonly #line: SeverableLine;
  #server: ServerProcess;
  #isCut = false;
  client: JitterClient | undefined;

  static async to(server: ServerProcess): Promise<JitterLine> {
    return new JitterLine(await SeverableLine.to(server.port), server);
  }

  private constructor(line: SeverableLine, server: ServerProcess) {
    this.#line = line;
    this.#server = server;
  }

  get port(): number {
    return this.#line.port;
  }

  get server(): ServerProcess {
    return this.#server;
  }

  /** Cuts the line, and mends it so that it leads to one of the servers that are there then. */
  async cut(time: number, published: () => number, choose: () => ServerProcess): Promise<void> {
    if (this.#isCut) return;
    this.#isCut = true;
    const from = published();
    await this.#line.sever();
    await sleep(time);
    this.#server = choose();
    this.#line.moveTo(this.#server.port);
    await this.#line.mend();
    this.#isCut = false;
    this.ledger.mend(from, published(), performance.now());
  }

  async end(): Promise<void> {
    this.client?.end();
    await this.#line.sever();
  }
}

/**
 * Publishes to clients on two servers, over lines that are cut again and again. In the row `kill` the first server is killed
 * in the middle: its lines are cut, as others are, and then lead to the second one, which has published all the time.
 */
export async function runJitter(
  contender: JitterContender,
  row: Row,
  scale: JitterScale,
  onProgress: (line: string) => void = () => {},
): Promise<Tally> {
  const redis = await startRedis({ own: true });
  const servers: ServerProcess[] = [];
  const lines: JitterLine[] = [];
  let published = 0;
  let isOver = false;
  const cuts = new Set<Promise<void>>();
  try {
    const setup = { redis: redis.port, functions: 1, filter: false, recovery: contender.recovery };
    const first = await ServerProcess.start(contender, setup);
    servers.push(first);
    const second = await ServerProcess.start(contender, setup);
    servers.push(second);

    const living = [first, second];
    const random = new Random(scale.seed);
    const choose = () => living[random.below(living.length)] ?? second;
    const cut = (line: JitterLine) => line.cut(scale.cutFor, () => published, choose);

    for (let index = 0; index < scale.clients; index++) {
      lines.push(await JitterLine.to(index % 2 === 0 ? first : second));
    }
    for (let from = 0; from < lines.length; from += AT_ONCE) {
      await Promise.all(
        lines.slice(from, from + AT_ONCE).map((line) => open(contender, line, () => published)),
      );
    }
    onProgress(`${lines.length} clients are in the channel`);

    for (const line of lines) {
      const own = new Random(random.below(2 ** 32));
      cuts.add(
        cutAgainAndAgain(
          own,
          scale,
          () => isOver,
          () => cut(line),
        ),
      );
    }
    const start = performance.now();
    let latest = 0;
    for (let number = 0; number < scale.messages; number++) {
      await sleep(Math.max(0, start + number * scale.every - performance.now()));
      latest = Math.max(latest, performance.now() - start - number * scale.every);
      second.publish({ first: number, count: 1, size: SIZE, channels: 1 });
      published++;
      if (row === "kill" && number === Math.floor(scale.messages / 2)) {
        living.splice(living.indexOf(first), 1);
        await first.kill();
        const own = lines.filter(({ server }) => server === first);
        for (const line of own) cuts.add(cut(line));
        onProgress(`a server is killed; ${own.length} clients were connected to it`);
      }
      if ((number + 1) % Math.ceil(scale.messages / 4) === 0)
        onProgress(`${number + 1} messages are published`);
    }
    isOver = true;
    onProgress(`the test itself was late by ${(latest / 1000).toFixed(2)} s at most`);
    await Promise.all(cuts);
    // the others get nothing late
    const end = performance.now() + (contender.recovery ? scale.settle : 0);
    while (performance.now() < end && !lines.every(({ ledger }) => ledger.hasAll(published)))
      await sleep(LOOK);
    await sleep(AFTER);
    return total(lines.map(({ ledger }) => ledger.tally(published)));
  } finally {
    isOver = true;
    await Promise.all(lines.map((line) => line.end()));
    await Promise.all(servers.map((server) => server.stop()));
    await redis.stop();
  }
}

async function open(contender: JitterContender, line: JitterLine, published: () => number): Promise<void> {
  line.client = await contender.open(line.port, CHANNEL, {
    onNumber: (number) => line.ledger.receive(number, performance.now()),
    onLost: (messages) => line.ledger.report(messages, published()),
  });
}

async function cutAgainAndAgain(
  random: Random,
  { cutEvery }: JitterScale,
  isOver: () => boolean,
  cut: () => Promise<void>,
): Promise<void> {
  let wait = cutEvery * random.next();
  for (;;) {
    const end = performance.now() + wait;
    while (!isOver() && performance.now() < end)
      await sleep(Math.min(LOOK, Math.max(1, end - performance.now())));
    if (isOver()) return;
    await cut();
    wait = cutEvery * (0.5 + random.next());
  }
}
