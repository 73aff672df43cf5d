import type { Client } from "../load/client.js";
import { Deliveries } from "../load/deliveries.js";
import type { Dialect } from "../load/dialects.js";
import { channelOf } from "../messages.js";
import { RedisFigures } from "../redis-figures.js";
import type { Figures, Session } from "../session.js";
import { bytes, number, type Scenario, type Stage } from "./scenario.js";

/** Bytes of a message. */
const SIZE = 100;
/** How many messages are published in one turn. */
const AT_ONCE = 50;
/** How many bursts are published a second, where the server has time for them. */
const BURSTS = 40;
/** How many messages a channel has whose memory is measured. */
const KEPT = 100;
/** How many messages are published at once where the time does not count. */
const FILLING = 1000;

const ASKING: Dialect = "token 4 history";

const FAN_OUTS: readonly { readonly how: string; readonly recovery: boolean; readonly dialect: Dialect }[] = [
  { how: "without history", recovery: false, dialect: "token 4" },
  { how: "with history", recovery: true, dialect: ASKING },
  { how: "with history, clients of version 3", recovery: true, dialect: "token 3" },
];

/** What it costs to keep messages: to publish, to deliver, to those who come back, and in memory. */
export const history: Scenario = {
  name: "history",
  title: "History",
  unit: "publish, delivery, recovered message, or channel",
  isLong: true,
  needs: "history",
  async run(stage) {
    await publish(stage);
    await deliver(stage);
    await recover(stage);
    await keep(stage);
  },
};

/** On a channel that nobody is in. */
async function publish(stage: Stage): Promise<void> {
  const { scale, record } = stage;
  for (const recovery of [false, true]) {
    await withServer(stage, recovery, async (session, redis) => {
      const batch = { first: 0, count: AT_ONCE, size: SIZE, channels: 1 };
      await session.server.flood(batch, scale.firstWarmUp);
      const { figures, redisCpu } = await measure(session, redis, () =>
        session.server.flood(batch, scale.time),
      );
      const name = `publish, ${bytes(SIZE)}, ${AT_ONCE} at once, ${recovery ? "with" : "without"} history`;
      record(name, { ...figures, ...(redis && { redisCpu }) });
    });
  }
}

/** From the server to all sockets in one channel; also without history it is the server that publishes. */
async function deliver(stage: Stage): Promise<void> {
  const { firstWarmUp, warmUp, time, fanOut } = stage.scale;
  for (const { how, recovery, dialect } of FAN_OUTS) {
    await withServer(stage, recovery, async (session) => {
      const clients = await session.logIn(fanOut.sockets, () => [channelOf(0, 1)], dialect);
      const deliveries = new Deliveries(clients, {
        channels: 1,
        size: SIZE,
        publish: (batch) => session.server.publish(batch),
      });
      await deliveries.saturate(1, firstWarmUp / 2);
      await deliveries.saturate(10, firstWarmUp / 2);
      for (const burst of [1, 10]) {
        await deliveries.saturate(burst, warmUp);
        const figures = await session.measure(() => deliveries.saturate(burst, time));
        const times = burst === 1 ? "singly" : "bursts of ten";
        stage.record(
          `delivery, ${number(fanOut.sockets)} sockets, ${bytes(SIZE)}, ${times}, ${how}`,
          figures,
        );
      }
      // at full load a burst may meet the next one in one write, which says more of the load than of the cost
      const { rate: _, ...figures } = await session.measure(
        async () => (await deliveries.pace(BURSTS, time, 10)).length,
      );
      const name = `delivery, ${number(fanOut.sockets)} sockets, ${bytes(SIZE)}, bursts of ten, ${BURSTS} a second`;
      stage.record(`${name}, ${how}`, figures);
    });
  }
}

/** Clients that are logged in already all join at once, and get what they have missed while nobody was there. */
async function recover(stage: Stage): Promise<void> {
  const { returning, missed, channels: counts } = stage.scale.history;
  for (const channels of counts) {
    await withServer(stage, true, async (session, redis) => {
      const positions = await positionsOf(session, channels);
      await fill(session, missed * channels, channels);
      const clients = await session.logIn(returning, () => [], ASKING);
      const place = channels === 1 ? "one channel" : `${number(channels)} channels`;
      const name = `${number(returning)} clients come back to ${place} for ${number(missed)} messages each`;
      for (const isFirst of [true, false]) {
        const before = await session.server.memory();
        await session.server.watch();
        const { figures, units, redisCommands } = await measure(session, redis, () =>
          catchUp(clients, positions, missed),
        );
        const longest = await session.server.watch();
        const after = await session.server.usage();
        // the time is what these cases are about
        const { rate = Number.NaN, ...others } = figures;
        stage.record(isFirst ? `${name}, the first time in a process` : name, {
          ...others,
          took: (units / rate) * 1000,
          longest,
          growth: (after.rss - before.rss) / 1_048_576,
          ...(redis && { redisCommands }),
        });
        await leave(clients, channels);
      }
    });
  }
}

/** The present position of each channel, as a client is told that joins and leaves again. */
async function positionsOf(session: Session, channels: number): Promise<string[]> {
  const [client] = await session.logIn(1, () => [], ASKING);
  if (!client) throw new Error("No client");
  const positions: string[] = [];
  for (let each = 0; each < channels; each++) {
    const channel = channelOf(each, channels);
    const { resp } = JSON.parse(await client.subscribe(channel, ""));
    positions.push(resp.at);
    await client.unsubscribe(channel);
  }
  return positions;
}

/** Resolves with the number of messages when each client has each that it has missed, once and in order. */
function catchUp(clients: readonly Client[], positions: readonly string[], missed: number): Promise<number> {
  const channels = positions.length;
  const deliveries = new Deliveries(clients, {
    channels,
    size: SIZE,
    // they were published before: now the clients ask for them
    publish: () => {
      clients.forEach((client, index) => {
        const { text } = client.speech.subscribe(channelOf(index, channels), 0, positions[index % channels]);
        client.send(text);
      });
    },
  });
  return deliveries.saturate(missed * channels, 0);
}

async function leave(clients: readonly Client[], channels: number): Promise<void> {
  await Promise.all(
    clients.map((client, index) => {
      client.take = undefined;
      return client.unsubscribe(channelOf(index, channels));
    }),
  );
}

/** What channels that nobody is in take of memory. */
async function keep(stage: Stage): Promise<void> {
  const { kept } = stage.scale.history;
  await withServer(stage, true, async (session, redis) => {
    const before = await session.server.memory();
    await fill(session, KEPT * kept, kept);
    const after = await session.server.memory();
    const each = redis
      ? { redisMemory: (await redis.memoryOfHistories()) / kept / 1024 }
      : { heap: (after.heap - before.heap) / kept / 1024 };
    stage.record(`a channel with ${KEPT} messages of ${bytes(SIZE)}`, each);
  });
}

async function fill(session: Session, messages: number, channels: number): Promise<void> {
  for (let first = 0; first < messages; first += FILLING) {
    const count = Math.min(FILLING, messages - first);
    await session.server.flood({ first, count, size: SIZE, channels });
  }
}

/** What so many units of work cost the server, one of them Redis' CPU, and all of them in commands. */
async function measure(session: Session, redis: RedisFigures | undefined, work: () => Promise<number>) {
  let units = 0;
  let figures: Figures = {};
  const measured = async () => {
    figures = await session.measure(async () => {
      units = await work();
      return units;
    });
  };
  const done = redis ? await redis.measure(measured) : await measured();
  return { figures, units, redisCpu: (done?.cpu ?? 0) / units, redisCommands: done?.commands ?? 0 };
}

/** Starts a server with or without a history of each channel, which nothing was published on before. */
async function withServer(
  stage: Stage,
  recovery: boolean,
  use: (session: Session, redis: RedisFigures | undefined) => Promise<void>,
): Promise<void> {
  await stage.withServer({ recovery }, async (session) => {
    const redis = session.redis === undefined ? undefined : await RedisFigures.connect(session.redis);
    try {
      await redis?.forgetHistories();
      await use(session, redis);
    } finally {
      redis?.close();
    }
  });
}
