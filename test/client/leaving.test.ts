import { expect } from "chai";
import { failure, inState, QUICK, Stage, Version3Server } from "./support.js";

const LEAVE = '{"internal":true,"command":"leave","data":{}}';

describe("A client that is asked to go", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  /** A server that asks its first clients to go as soon as they are in. */
  const start = async (clients: number) => {
    const server = new Version3Server();
    let asked = 0;
    server.intercept = (frame, socket) => {
      if (frame.rpc !== "auth") return false;
      socket.send(JSON.stringify({ ...frame, resp: "success", server: { protocol: 4, expiresIn: 1 } }));
      if (asked++ < clients) socket.send(LEAVE);
      return true;
    };
    return { server, place: await stage.server(server.http) };
  };

  it("before its connection is open makes another, with all that waits", async () => {
    const { server, place } = await start(2);
    const client = stage.client(place);
    expect(await client.rpc("echo", 1)).to.equal(1);
    const frames = server.frames.map(({ rpc }) => rpc);
    expect(frames.slice(0, 3)).to.deep.equal(["auth", "auth", "auth"]);
    expect(frames.filter((rpc) => rpc === "echo")).to.have.length(1);
  });

  it("does not come back where it is not to, and sets no timer for that", async () => {
    const { server, place } = await start(1);
    const client = stage.client(place, { reconnect: false });
    const call = failure(client.rpc("echo", 1));
    const reason = await inState(client, "closed");
    expect(reason).to.include({ code: "connection", status: 4000 });
    expect(await call).to.equal(reason);
    // longer than what would present another token
    await new Promise((resolve) => setTimeout(resolve, 2 * QUICK.min));
    expect(client.state).to.equal("closed");
    expect(server.frames.map(({ rpc }) => rpc)).to.deep.equal(["auth"]);
  });
});
