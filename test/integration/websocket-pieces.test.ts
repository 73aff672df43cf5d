import { expect } from "chai";
import { Application } from "../support/application.js";
import { PLAIN, RawWebSocket, SOCKJS, text } from "../support/raw-websocket.js";

const MESSAGE_BYTES = 3_000_000;

/** What a TCP segment holds at least (RFC 9293, section 3.7.1). */
const SEGMENT = 536;

describe("A message as large as there may be", () => {
  let application: Application;

  before(async () => {
    application = await Application.start({
      options: {
        socketController: { lengthOf: (_auth, data) => String(data).length },
        limits: { messageBytes: MESSAGE_BYTES },
      },
    });
  });
  after(() => application.stop());

  for (const framing of [PLAIN, SOCKJS]) {
    it(`arrives over a network that brings it segment by segment, by ${framing.name}`, async () => {
      const webSocket = await RawWebSocket.open(await application.dial(""), framing);
      await webSocket.logIn(await application.token());
      const req = "x".repeat(MESSAGE_BYTES - 1000);
      const sent = text(framing.wrap(JSON.stringify({ rpc: "lengthOf", uuid: "1", req })));
      await webSocket.writePieces(sent, SEGMENT);
      expect(JSON.parse(await webSocket.message())).to.have.property("resp", req.length);
    });
  }
});
