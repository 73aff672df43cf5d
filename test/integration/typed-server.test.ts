import { expect } from "chai";
import express from "express";
import sockjs from "sockjs";
import { type Controller, procedure, TokenSocketServer } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";

interface User {
  id: number;
  name: string;
}

/** A server that is never attached. */
const parts = () => [express(), memoryRedis(), sockjs.createServer()] as const;

describe("A typed server", () => {
  it("may be used by the functions that it is given, without an annotation", async () => {
    const inline = new TokenSocketServer(...parts(), {
      socketController: {
        say: (_auth, data) => inline.publish("news", data),
        nested: { count: async () => inline.sockets().length },
      },
    });
    const apart = {
      say: (_auth: User, data: unknown) => ofApart.publish("news", data),
      count: async () => ofApart.sockets().length,
    };
    const ofApart = new TokenSocketServer<User>(...parts(), { socketController: apart });
    const satisfying = {
      say: (auth, data) => ofSatisfying.publish(auth.name, data),
      given: procedure(({ auth, input, server }) => server.publish(auth.name, input)),
    } satisfies Controller<User>;
    const ofSatisfying = new TokenSocketServer<User>(...parts(), { socketController: satisfying });

    const servers = [inline, ofApart, ofSatisfying];
    for (const server of servers) expect(server.socketController).to.have.property("say");
    await Promise.all(servers.map((server) => server.shutdown()));
  });
});
