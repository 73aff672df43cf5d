import { join } from "node:path";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { RemoteProcess } from "../support/remote-process.js";
import type { MemberServerFunctions } from "./member-server.js";
import { Member } from "./members.js";

export type MemberServer = RemoteProcess<MemberServerFunctions>;

const SCRIPT = join(import.meta.dirname, "member-server.ts");

/** A server's times in milliseconds, a fifth or less of what they are. A busy machine is late by more than the shortest. */
export const SHORT = { REGISTRY_INTERVAL: "600", SETTLE: "2500", GRACE: "2500" };

/** Three servers with one Redis. */
export class MemberSite {
  readonly redis: RedisServer;
  readonly servers: MemberServer[];
  readonly urls: string[];
  readonly members: Member[] = [];

  static async start(times: Record<string, string> = SHORT): Promise<MemberSite> {
    const redis = await startRedis({ own: true });
    const servers = await Promise.all(
      [1, 2, 3].map(() =>
        RemoteProcess.start<MemberServerFunctions>(SCRIPT, { ...times, REDIS_URL: redis.url }),
      ),
    );
    return new MemberSite(
      times,
      redis,
      servers,
      await Promise.all(servers.map((server) => server.call("url"))),
    );
  }

  private constructor(
    readonly times: Record<string, string>,
    redis: RedisServer,
    servers: MemberServer[],
    urls: string[],
  ) {
    this.redis = redis;
    this.servers = servers;
    this.urls = urls;
  }

  /** Starts another server in the place of one. */
  async restart(index: number): Promise<void> {
    await this.server(index).kill();
    const server = await RemoteProcess.start<MemberServerFunctions>(SCRIPT, {
      ...this.times,
      REDIS_URL: this.redis.url,
    });
    this.servers[index] = server;
    this.urls[index] = await server.call("url");
  }

  server(index: number): MemberServer {
    return this.servers[index] as MemberServer;
  }

  async connect(name: string, index: number): Promise<Member> {
    const member = new Member(name);
    this.members.push(member);
    await member.connect(this.urls[index] as string);
    return member;
  }

  reconnect(member: Member, index: number): Promise<void> {
    return member.connect(this.urls[index] as string);
  }

  /** A client on a server that observes; it is a member as well. */
  async observer(index: number): Promise<Member> {
    const member = await this.connect(`observer${index}`, index);
    await member.observe();
    return member;
  }

  ids(index: number): Promise<string[]> {
    return this.server(index)
      .call("members", "room:1")
      .then((members) => members.map(({ id }) => id).sort());
  }

  async sockets(index: number): Promise<number[]> {
    return (await this.server(index).call("members", "room:1")).map(({ sockets }) => sockets);
  }

  /** The notices of those servers that are there. */
  async notices(...indices: number[]): Promise<string[]> {
    const all = await Promise.all(indices.map((index) => this.server(index).call("notices")));
    return all.flat().map(([event, id]) => `${event} ${id}`);
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.end()));
    await Promise.all(this.servers.map((server) => server.kill()));
    await this.redis.stop();
  }
}
