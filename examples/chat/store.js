// What the processes of the chat share: the clients that TokenSocketServer needs, sessions, who is online, and
// commands from one process to all.

import { randomUUID } from "node:crypto";
import session from "express-session";
import { memoryRedis } from "node-token-sockjs/memory";
import { createClient } from "redis";
import { RedisSessions } from "./session-store.js";

/** How long Redis believes that a process lives which has not been heard of, in milliseconds. */
const LIFE = 15_000;

const COMMANDS = "chat-commands";
const PROCESSES = "chat-processes";

/** The store of this process alone, or with a URL the one in Redis. */
export function makeStore(url) {
  return url ? new RedisStore(url) : new MemoryStore();
}

class MemoryStore {
  redisClient = memoryRedis();
  pubsubClient = this.redisClient;
  sessions = new session.MemoryStore();
  #onCommand = () => {};

  async connect() {}

  async sharePeople(names) {
    return names;
  }

  async tellAll(command) {
    this.#onCommand(command);
  }

  async listen(onCommand) {
    this.#onCommand = onCommand;
  }

  async close() {}
}

class RedisStore {
  #process = randomUUID();

  constructor(url) {
    this.redisClient = createClient({ url });
    // a client that has subscribed serves nothing else, so there are two
    this.pubsubClient = this.redisClient.duplicate();
    this.sessions = new RedisSessions(this.redisClient);
    for (const client of [this.redisClient, this.pubsubClient]) {
      // TokenSocketServer reports the errors as long as it runs; without any listener one would end the process
      client.on("error", () => {});
    }
  }

  /** Connects; from then on the clients reconnect by themselves. */
  async connect() {
    await Promise.all([this.redisClient.connect(), this.pubsubClient.connect()]);
  }

  /** Says who is on this process, and gives back who is on any. */
  async sharePeople(names) {
    await this.redisClient
      .multi()
      .set(peopleKey(this.#process), JSON.stringify(names), { expiration: { type: "PX", value: LIFE } })
      .sAdd(PROCESSES, this.#process)
      .exec();
    const processes = await this.redisClient.sMembers(PROCESSES);
    const lists = await this.redisClient.mGet(processes.map(peopleKey));
    const dead = processes.filter((_, index) => lists[index] === null);
    if (dead.length > 0) await this.redisClient.sRem(PROCESSES, dead);
    return lists.flatMap((list) => JSON.parse(list ?? "[]"));
  }

  async tellAll(command) {
    await this.redisClient.publish(COMMANDS, JSON.stringify(command));
  }

  async listen(onCommand) {
    await this.pubsubClient.subscribe(COMMANDS, (command) => onCommand(JSON.parse(command)));
  }

  async close() {
    await this.redisClient.multi().del(peopleKey(this.#process)).sRem(PROCESSES, this.#process).exec();
    await Promise.all([this.redisClient.close(), this.pubsubClient.close()]);
  }
}

function peopleKey(process) {
  return `chat-people:${process}`;
}
