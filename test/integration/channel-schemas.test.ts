import { type } from "arktype";
import { expect } from "chai";
import * as v from "valibot";
import { z } from "zod";
import type { StandardSchema, TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import type { WireClient } from "../support/wire-client.js";

/** A schema that says no, or fails, as it is told. */
function schema(validate: (value: unknown) => unknown): StandardSchema {
  return { "~standard": { version: 1, vendor: "test", validate: validate as never } };
}

describe("A channel with a schema", () => {
  let application: Application;
  let client: WireClient;

  const start = async (channels: TokenSocketServerOptions["channels"]) => {
    application = await Application.start({ options: { channels } });
    client = await application.connect("websocket", { protocol: 4 });
  };
  afterEach(() => application.stop());

  const publish = (channel: string, data: unknown) =>
    client.request({ rpc: "_publish", req: { channel, data } });

  it("takes what satisfies it, and gives what the schema has made of it to guards and readers", async () => {
    await start({ room: z.object({ text: z.string().trim() }) });
    const seen: unknown[] = [];
    application.tokenServer.on("publish", (_socket, { data }) => Boolean(seen.push(data)));
    await client.subscribe("room");
    expect(await publish("room", { text: " hello ", more: 1 })).to.have.property("resp", "success");
    expect(await client.message("room")).to.deep.equal({ text: "hello" });
    expect(seen).to.deep.equal([{ text: "hello" }]);
  });

  it("refuses the rest with the issues, before any guard is asked", async () => {
    await start({
      zod: z.object({ text: z.string() }),
      valibot: v.object({ text: v.string() }),
      arktype: type({ text: "string" }),
    });
    let asked = 0;
    application.tokenServer.on("publish", () => Boolean(++asked));
    for (const channel of ["zod", "valibot", "arktype"]) {
      const { error } = await publish(channel, { text: 5 });
      expect(error).to.include({ message: "Invalid input", code: "invalid" });
      const { issues } = (error as { data: { issues: { path: unknown }[] } }).data;
      expect(issues).to.have.length(1);
      expect(issues[0]?.path).to.deep.equal(["text"]);
    }
    expect(asked).to.equal(0);
  });

  it("refuses a client of version 3, too, which hears nothing of what is taken", async () => {
    await start({ room: z.number() });
    const old = await application.connect();
    await old.subscribe("room");
    old.send({ rpc: "_publish", req: { channel: "room", data: "1" }, uuid: "a" });
    old.send({ rpc: "_publish", req: { channel: "room", data: 2 }, uuid: "b" });
    const refusal = await old.take();
    expect(refusal).to.have.property("uuid", "a");
    expect(refusal.error).to.include({ message: "Invalid input", code: "invalid" });
    expect(await old.take()).to.deep.equal({ channel: "room", message: 2 });
  });

  it("may be declared by how its name begins, of which the longest counts, and the whole name most", async () => {
    await start({
      "*": z.literal("any"),
      "room:*": z.literal("room"),
      "room:1:*": z.literal("first"),
      "room:1:x": z.literal("x"),
    });
    const taken = {
      other: "any",
      "room:": "room",
      "room:2": "room",
      "room:1": "room",
      "room:1:": "first",
      "room:1:xy": "first",
      "room:1:x": "x",
      __proto__: "any",
      "room:1:*": "first",
    };
    for (const [channel, data] of [...Object.entries(taken), ["__proto__", "any"], ["toString", "any"]]) {
      expect(await publish(channel as string, data), channel as string).to.have.property("resp", "success");
      expect(await publish(channel as string, "wrong"), channel as string).to.have.property("error");
    }
  });

  it("leaves channels alone that are not declared, and what the server publishes itself", async () => {
    await start({ room: z.number() });
    expect(await publish("other", "anything")).to.have.property("resp", "success");
    await client.subscribe("room");
    await application.tokenServer.publish("room", "by the server");
    expect(await client.message("room")).to.equal("by the server");
  });

  it("lets clients join a channel on which it takes no message", async () => {
    await start({ "*": z.never() });
    expect(await publish("other", "anything")).to.have.property("error");
    expect(await client.subscribe("other")).to.have.property("internal", true);
    await application.tokenServer.publish("other", "by the server");
    expect(await client.message("other")).to.equal("by the server");
  });

  it("may take a while to check, which keeps the order of messages", async () => {
    let release = () => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    await start({
      room: schema(async (value) => {
        if (value === 1) await slow;
        return { value };
      }),
    });
    await client.subscribe("room");
    const both = Promise.all([publish("room", 1), publish("room", 2)]);
    await publish("other", 0);
    release();
    await both;
    expect([await client.message("room"), await client.message("room")]).to.deep.equal([1, 2]);
  });

  const failures = {
    throws: () => {
      throw new Error("a secret");
    },
    rejects: async () => Promise.reject(new Error("a secret")),
  };
  for (const [kind, validate] of Object.entries(failures)) {
    it(`refuses with an internal error where the schema ${kind}, and reports it`, async () => {
      await start({ room: schema(validate) });
      const { error } = await publish("room", 1);
      expect(error).to.deep.equal({ message: "Internal error", code: "internal" });
      expect(application.errors.map(({ message }) => message)).to.deep.equal(["a secret"]);
    });
  }

  it("is forgotten about where the socket has closed meanwhile", async () => {
    let release = () => {};
    let published = 0;
    const checking = new Promise<void>((begun) => {
      void start({
        room: schema(async (value) => {
          begun();
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          return { value };
        }),
      }).then(() => {
        application.tokenServer.on("published", () => published++);
        client.send({ rpc: "_publish", req: { channel: "room", data: 1 } });
      });
    });
    await checking;
    const gone = new Promise((resolve) => application.tokenServer.once("disconnect", resolve));
    await client.end();
    await gone;
    release();
    const other = await application.connect("websocket", { protocol: 4 });
    await other.request({ rpc: "_publish", req: { channel: "other", data: 1 } });
    expect(published).to.equal(1);
  });
});
