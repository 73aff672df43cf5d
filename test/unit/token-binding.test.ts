import { expect } from "chai";
import express from "express";
import { addressOf } from "../../lib/server/auth/connection-address.js";
import { isBoundTo, type TokenBinding } from "../../lib/server/auth/token-binding.js";
import type { SockJSConnection } from "../../lib/server/transport/socket.js";

describe("A token that is bound", () => {
  const app = express();
  const connectionOf = (remoteAddress: string | undefined) =>
    ({ remoteAddress, headers: { host: "h" } }) as unknown as SockJSConnection;
  const isBound = (
    binding: TokenBinding,
    token: { ip: string; nonce?: string },
    from?: string,
    nonce?: unknown,
  ) => isBoundTo(binding, app, token, connectionOf(from), nonce);

  it("to a nonce is good with that alone, and without one nowhere", () => {
    const token = { ip: "10.0.0.1", nonce: "n" };
    expect(isBound("nonce", token, "10.0.0.2", "n")).to.equal(true);
    expect(isBound("nonce", token, "10.0.0.1", "m")).to.equal(false);
    expect(isBound("nonce", { ip: "10.0.0.1" }, "10.0.0.1", undefined)).to.equal(false);
  });

  it("to an address is good from that alone, and without one nowhere", () => {
    expect(isBound("ip", { ip: "10.0.0.1" }, "10.0.0.1")).to.equal(true);
    expect(isBound("ip", { ip: "10.0.0.1" }, "::ffff:10.0.0.1")).to.equal(true);
    expect(isBound("ip", { ip: "10.0.0.1" }, "10.0.0.2")).to.equal(false);
    expect(isBound("ip", { ip: "" })).to.equal(false);
  });

  it("to nothing is good everywhere", () => {
    expect(isBound(false, { ip: "" }, "10.0.0.2")).to.equal(true);
  });

  it("is on a connection whose address is that of its request, or empty where it has none", () => {
    expect(addressOf(app, connectionOf("10.0.0.2"))).to.deep.equal({ host: "h", ip: "10.0.0.2", ips: [] });
    expect(addressOf(app, connectionOf(undefined))).to.deep.equal({ host: "h", ip: "", ips: [] });
  });
});
