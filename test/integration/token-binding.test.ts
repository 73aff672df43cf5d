import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import type { TokenBinding } from "../../lib/index.js";
import { connectMemoryRedis, memoryRedis } from "../../lib/server/redis/memory.js";
import { Application } from "../support/application.js";
import { express4 } from "../support/express4.js";
import { WIRE_TRANSPORTS } from "../support/wire-client.js";

const NONCE = "0123456789-abcdef_XYZ";
const NOT_FOUND = { code: 4401, reason: "Token not found" };

/** Asks an application's token route over a unix socket, where nobody has an address. */
async function overUnixSocket(application: Application, headers: Record<string, string> = {}) {
  const socketPath = join(tmpdir(), `${randomUUID()}.sock`);
  const server = createServer(application.app).listen(socketPath);
  await once(server, "listening");
  try {
    const asked = request({ socketPath, path: "/socket/token", headers, agent: false }).end();
    const [response] = await once(asked, "response");
    return { status: response.statusCode, text: await text(response) };
  } finally {
    server.close();
  }
}

for (const version of [5, 4]) {
  describe(`A token that is bound, on Express ${version}`, () => {
    let application: Application;

    const start = async (tokenBinding: TokenBinding, trust?: string) => {
      application = await Application.start({
        ...(version === 4 ? { express: express4 } : {}),
        ...(trust && { prepare: (app) => app.set("trust proxy", trust === "1" ? 1 : trust) }),
        options: { tokenBinding },
      });
    };
    afterEach(() => application.stop());

    for (const transport of WIRE_TRANSPORTS) {
      it(`to an IP is good for that one alone, over ${transport}`, async () => {
        await start("ip", "loopback");
        const client = await application.connect(transport);
        // the same again, for another identity, and then one that was issued elsewhere
        expect(await client.request({ rpc: "auth", token: await application.token() })).to.include({
          resp: "success",
        });
        const elsewhere = await application.token("", { "x-forwarded-for": "10.0.0.1" });
        client.send({ rpc: "auth", token: elsewhere });
        expect(await client.closed).to.deep.equal(NOT_FOUND);
      });
    }

    it("is one of the token route: those of the application's own are bound to nothing", async () => {
      application = await Application.start({
        ...(version === 4 ? { express: express4 } : {}),
        options: { tokenBinding: "nonce", verifyToken: async (name) => ({ auth: { name } }) },
      });
      const client = await application.open();
      expect(await client.request({ rpc: "auth", token: "alice" })).to.include({ resp: "success" });
    });

    it("to an IP takes no client's word for it without a proxy that is trusted", async () => {
      await start("ip");
      const token = await application.token("", { "x-forwarded-for": "10.0.0.1" });
      const client = await application.open();
      expect(await client.request({ rpc: "auth", token })).to.include({ resp: "success" });
    });

    it("to an IP is none over a unix socket without a proxy that is trusted, which the log says once", async () => {
      await start("ip");
      const { status, text } = await overUnixSocket(application);
      expect([status, text]).to.deep.equal([403, '{"error":"Forbidden"}']);
      expect((await overUnixSocket(application)).status).to.equal(403);
      const warnings = application.log.filter((line) => line.includes("unix socket"));
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.contain('tokenBinding is "ip"').and.to.contain("trust proxy");
    });

    it("to an IP is issued over a unix socket to the address that a trusted proxy names, without its port", async () => {
      await start("ip", "1");
      const forwarded = { "x-forwarded-for": "10.0.0.1:4711" };
      const { text } = await overUnixSocket(application, forwarded);
      const { token } = JSON.parse(text);
      const thief = await application.open();
      thief.send({ rpc: "auth", token });
      expect(await thief.closed).to.deep.equal(NOT_FOUND);
    });

    it("to a nonce is good for whoever has it, once", async () => {
      await start("nonce");
      const token = await application.token(`?nonce=${NONCE}`);
      const client = await application.open();
      expect(await client.request({ rpc: "auth", token, nonce: NONCE })).to.include({ resp: "success" });
      for (const nonce of [undefined, null, "", `${NONCE}x`, [NONCE], { nonce: NONCE }]) {
        const stolen = await application.token(`?nonce=${NONCE}`);
        const thief = await application.open();
        thief.send({ rpc: "auth", token: stolen, nonce });
        expect(await thief.closed).to.deep.equal(NOT_FOUND);
        const late = await application.open();
        late.send({ rpc: "auth", token: stolen, nonce: NONCE });
        expect(await late.closed).to.deep.equal(NOT_FOUND);
      }
    });

    it("to a nonce may have it from the body", async () => {
      await start("nonce");
      const response = await fetch(`${application.url}/socket/token`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ nonce: NONCE }),
      });
      const { token } = (await response.json()) as { token: string };
      const client = await application.open();
      expect(await client.request({ rpc: "auth", token, nonce: NONCE })).to.include({ resp: "success" });
      expect(application.socket()).to.not.have.property("nonce");
    });

    it("to nothing keeps nothing of a nonce", async () => {
      const redisClient = memoryRedis();
      const store = connectMemoryRedis(redisClient);
      application = await Application.start({
        ...(version === 4 ? { express: express4 } : {}),
        redisClient,
        pubsubClient: redisClient,
        options: { tokenPrefix: "token:" },
      });
      const kept = await store.take(`token:${await application.token(`?nonce=${NONCE}`)}`);
      expect(kept).to.contain('"auth"').and.not.to.contain(NONCE);
      store.release();
    });

    it("to a nonce is not issued without one", async () => {
      await start("nonce");
      for (const query of [
        "",
        "?nonce=short",
        `?nonce[]=${NONCE}`,
        `?nonce=${"x".repeat(129)}`,
        "?nonce=a%20b",
      ]) {
        const response = await fetch(`${application.url}/socket/token${query}`);
        expect([response.status, await response.json()]).to.deep.equal([
          400,
          { error: "A nonce is missing" },
        ]);
      }
    });
  });
}
