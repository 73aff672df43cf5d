import { once } from "node:events";
import { expect } from "chai";
import type { Connection } from "sockjs";
import { WebSocket } from "ws";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { close, OPCODE, PLAIN, RawWebSocket, SOCKJS, frame as toFrame } from "../support/raw-websocket.js";

/** What an application may rely on, of SockJS's connections as of the server's own. */
type Known = Connection & { destroySoon(): void; readonly readable: boolean; readonly writable: boolean };

const HEADERS = {
  Host: "example.org:8080",
  "User-Agent": "a client",
  "X-Forwarded-For": "203.0.113.1, 203.0.113.2",
  "X-Real-IP": "203.0.113.1",
  // those that are empty, or that SockJS has not chosen, are not told
  Via: "",
  Cookie: "secret=1",
};

for (const framing of [PLAIN, SOCKJS]) {
  describe(`The connection of ${framing.name}`, () => {
    const applications: Application[] = [];

    afterEach(async () => {
      for (const application of applications.splice(0)) await application.stop();
    });

    /** Opens a WebSocket; gives both its ends. */
    const open = async (path = framing.path, headers = {}, attach = true) => {
      const application = await Application.start({ attach });
      applications.push(application);
      if (!attach) application.sockjs.installHandlers(application.http, { prefix: "/sockets" });
      const connected = once(application.sockjs, "connection");
      const client = await RawWebSocket.open(await application.dial(""), framing, { path, headers });
      const [connection] = (await connected) as [Known];
      return { client, connection };
    };

    for (const query of ["", "?a=1&b=?"]) {
      it(`tells of its request what SockJS's own tells, with the query "${query}"`, async () => {
        const path = framing.path + query;
        const own = await open(path, HEADERS);
        const others = await open(path, HEADERS, false);
        const [told, expected] = [own, others].map(({ connection }) => {
          const { url, pathname, prefix, protocol, headers, remoteAddress, readyState, readable, writable } =
            connection;
          return { url, pathname, prefix, protocol, headers, remoteAddress, readyState, readable, writable };
        });
        expect(told).to.deep.equal(expected);
        expect(told).to.deep.include({ url: path, pathname: framing.path, readyState: 1, writable: true });
        expect(told?.headers).to.include({ host: "example.org:8080", "user-agent": "a client" });
        expect(told?.headers).not.to.have.any.keys("via", "cookie", "dnt");
        const { port } = (own.client.socket as unknown as { address(): { port: number } }).address();
        expect(own.connection.remotePort).to.equal(port);
      });
    }

    it("has an id and the server's side of the TCP connection", async () => {
      const { client, connection } = await open();
      expect(connection.id).to.match(/^[0-9a-f-]{36}$/);
      expect(String(connection)).to.equal(`<SockJSConnection ${connection.id}>`);
      const { remotePort } = client.socket as unknown as { remotePort: number };
      expect(connection.address).to.deep.equal({ address: "127.0.0.1", family: "IPv4", port: remotePort });
    });

    it("is written to as long as it is open, and knows no address once it is closed", async () => {
      const { client, connection } = await open();
      expect(connection.write("by hand")).to.equal(true);
      // what is no text goes as one
      expect(connection.write(1 as never)).to.equal(true);
      expect([await client.message(), await client.message()]).to.deep.equal(["by hand", "1"]);
      const closed = once(connection, "close");
      client.write(close(1000));
      await closed;
      expect(connection.write("late")).to.equal(false);
      expect([connection.readable, connection.writable, connection.readyState]).to.deep.equal([
        false,
        false,
        3,
      ]);
      expect(connection.close()).to.equal(false);
      await until(() => connection.address === undefined);
      expect((await client.rest()).filter((one) => !one.startsWith("close"))).to.deep.equal([]);
    });

    it("is closed where a listener for it throws, which is reported, and the next one is served", async () => {
      const application = await Application.start();
      applications.push(application);
      const error = new Error("listener");
      const told = once(application.tokenServer, "error");
      application.sockjs.once("connection", () => {
        throw error;
      });
      const client = await RawWebSocket.open(await application.dial(""), framing);
      const closing = framing === SOCKJS ? ['text c[1000,"Normal closure"]'] : [];
      for (const one of [...closing, "close 1000 Normal closure"]) expect(await client.next()).to.equal(one);
      client.write(close(1000));
      await client.rest();
      expect(await told).to.deep.equal([error, 'a listener for "connection" of the SockJS server failed']);
      const next = await RawWebSocket.open(await application.dial(""), framing);
      await next.logIn(await application.token());
      next.write(close(1000));
      await next.rest();
    });

    it("has the subprotocol that the application chooses of those that its client offers", async () => {
      const handleProtocols = (offered: Set<string>) => [...offered][1] ?? false;
      const application = await Application.start({ options: { webSocket: { handleProtocols } } });
      applications.push(application);
      const client = new WebSocket(application.url.replace("http", "ws") + framing.path, ["a", "b"]);
      await once(client, "open");
      expect(client.protocol).to.equal("b");
      client.close();
      await once(client, "close");
    });

    for (const [name, end, message] of [
      ["end()", (connection: Known) => connection.end(), undefined],
      ["end() with a last message", (connection: Known) => connection.end("bye"), "bye"],
      ["destroy()", (connection: Known) => connection.destroy(), undefined],
      ["destroySoon()", (connection: Known) => connection.destroySoon(), undefined],
    ] as const) {
      it(`is closed by ${name}`, async () => {
        const { client, connection } = await open();
        const closed = once(connection, "close");
        end(connection);
        // SockJS's own is closed at once
        expect(connection.readyState).to.equal(framing === SOCKJS ? 3 : 2);
        if (message !== undefined) expect(await client.message()).to.equal(message);
        const frames = [await client.next()];
        if (framing === SOCKJS) frames.push(await client.next());
        expect(frames).to.deep.equal(
          framing === SOCKJS
            ? ['text c[1000,"Normal closure"]', "close 1000 Normal closure"]
            : ["close 1000 Normal closure"],
        );
        client.write(toFrame(OPCODE.ping), close(1000));
        await closed;
      });
    }
  });
}
