import { expect } from "chai";
import type { Request } from "express";
import { ConnectionError, type TokenSocketOptions } from "../../lib/client/index.js";
import { happened, inState, Stage } from "./support.js";

const TRANSPORTS: [string, TokenSocketOptions][] = [
  ["a plain WebSocket", { sockjs: false }],
  ["SockJS's xhr-polling", { WebSocket: false, sockjs: { transports: "xhr-polling", timeout: 10_000 } }],
];

describe("A client's nonce", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  /** A server that binds tokens, and the nonces that it was sent with what else was. */
  const start = async () => {
    const requests: { nonce: string; [name: string]: unknown }[] = [];
    const place = await stage.application({
      sockjs: { disconnect_delay: 1000, heartbeat_delay: 2000 },
      options: {
        tokenBinding: "nonce",
        authentication: (req: Request) => {
          requests.push({ ...(req.method === "POST" ? req.body : req.query) });
          return { name: "alice" };
        },
        socketController: { echo: async (_auth: unknown, data: unknown) => data },
      },
    });
    return { place, requests };
  };

  for (const [name, transport] of TRANSPORTS) {
    for (const tokenMethod of ["GET", "POST"] as const) {
      it(`lets it in, back, and have a new identity, over ${name}, by ${tokenMethod}`, async () => {
        const { place, requests } = await start();
        const client = stage.client(place, {
          ...transport,
          tokenMethod,
          nonce: true,
          authentication: { user: "alice" },
        });
        expect(await client.rpc("echo", 1)).to.equal(1);
        await client.reauthenticate();
        place.application.socket().close(4999, "Come back");
        await happened(client, "reconnect");
        await client.reauthenticate();
        expect(await client.rpc("echo", 2)).to.equal(2);
        expect(requests.map(({ user }) => user)).to.deep.equal(Array(4).fill("alice"));
        expect(new Set(requests.map(({ nonce }) => nonce)).size).to.equal(4);
        for (const { nonce } of requests) expect(nonce).to.match(/^[\w-]{16,128}$/);
      });
    }
  }

  it("goes also without authentication data, and with what a function gives", async () => {
    const { place, requests } = await start();
    await stage.client(place, { nonce: true }).ready();
    await stage.client(place, { nonce: true, authentication: () => null }).ready();
    await stage.client(place, { nonce: true, authentication: async () => ({ user: "bob" }) }).ready();
    expect(requests.map(({ nonce, ...data }) => [typeof nonce, data])).to.deep.equal([
      ["string", {}],
      ["string", {}],
      ["string", { user: "bob" }],
    ]);
  });

  it("is what a server that binds tokens to it gives no token without", async () => {
    const { place, requests } = await start();
    const client = stage.client(place, { reconnect: false });
    const reason = await inState(client, "closed");
    expect(reason).to.be.instanceOf(ConnectionError);
    expect(reason).to.include({ status: 400, message: "A nonce is missing" });
    expect(requests).to.deep.equal([]);
  });

  it("makes no difference to whether a refused client asks again", async () => {
    let asked = 0;
    const place = await stage.application({
      options: {
        tokenBinding: "nonce",
        authentication: () => {
          asked++;
          return false;
        },
      },
    });
    const client = stage.client(place, { nonce: true, authentication: () => ({ password: "wrong" }) });
    expect(await inState(client, "closed")).to.include({ code: "unauthorized" });
    expect(asked).to.equal(1);
  });

  it("is not sent where the client is not told to", async () => {
    const queries: unknown[] = [];
    const authentication = (req: Request) => {
      queries.push(req.query);
      return { name: "alice" };
    };
    const place = await stage.application({ options: { authentication } });
    await stage.client(place).ready();
    expect(queries).to.deep.equal([{}]);
  });
});
