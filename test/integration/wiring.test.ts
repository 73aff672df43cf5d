import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import type { PendingSocket } from "../../lib/server/transport/socket.js";
import { WebSocketTransport } from "../../lib/server/transport/websocket.js";
import { Application, type ApplicationOptions } from "../support/application.js";

describe("A server whose parts are put together", () => {
  let application: Application;

  const start = async (options?: ApplicationOptions) => {
    application = await Application.start(options);
  };

  afterEach(async () => {
    sinon.restore();
    await application.stop();
  });

  it("says that it is ready, and how many sockets it has", async () => {
    application = new Application({});
    await once(application.tokenServer, "ready");
    expect(application.tokenServer.health()).to.include({ ready: true, sockets: 0, draining: false });
    expect(application.log).to.deep.equal([]);
    application.http.listen(0, "127.0.0.1");
    await once(application.http, "listening");
    await application.connect();
    await application.connect("xhr-polling");
    expect(application.tokenServer.health()).to.include({ sockets: 2 });
  });

  it("reports a socket that could not be written to, and serves the others", async () => {
    await start();
    const { tokenServer } = application;
    const [, other] = [await application.connect(), await application.connect()];
    const error = new Error("fault");
    sinon.stub(WebSocketTransport.prototype, "flush").callThrough().onFirstCall().throws(error);
    const told = once(tokenServer, "error");
    for (const socket of tokenServer.sockets()) tokenServer.send(socket as PendingSocket, "room", 7);
    expect(await told).to.deep.equal([error, "a socket could not be written to"]);
    expect(await other.message("room")).to.equal(7);
  });

  it("warns once of connections that come past it", async () => {
    await start({ attach: false });
    application.sockjs.installHandlers(application.http, { prefix: "/sockets" });
    for (let n = 0; n < 2; n++) await application.connect();
    const warnings = application.log.filter((line) => line.includes("installHandlers"));
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.include("attach(httpServer)");
  });
});
