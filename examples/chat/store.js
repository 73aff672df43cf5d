// What the processes of the chat share: the clients that TokenSocketServer needs, sessions, and commands from one
// process to all.

import session from "express-session";
import { memoryRedis } from "node-token-sockjs/memory";
import { createClient } from "redis";
import { RedisSessions } from "./session-store.js";

const COMMANDS = "chat-commands";

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

  async tellAll(command) {
    this.#onCommand(command);
  }

  async listen(onCommand) {
    this.#onCommand = onCommand;
  }

  async close() {}
}

class RedisStore {
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

  async tellAll(command) {
    await this.redisClient.publish(COMMANDS, JSON.stringify(command));
  }

  async listen(onCommand) {
    await this.pubsubClient.subscribe(COMMANDS, (command) => onCommand(JSON.parse(command)));
  }

  async close() {
    await Promise.all([this.redisClient.close(), this.pubsubClient.close()]);
  }
}
