import { expect } from "chai";
import { addressKey, plainAddress } from "../../lib/server/limits/address.js";

describe("an address", () => {
  const NONE = [
    "",
    " ",
    "unknown",
    "/run/app.sock",
    "[",
    "[]",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    ":::",
    "1:2:3",
    "g::1",
    "x[::1]",
    "[::1]x",
    "[::1]:80x",
    "10.0.0.1:80x",
  ];

  it("is the same text however it is written", () => {
    for (const [text, plain] of [
      ["10.0.0.1", "10.0.0.1"],
      ["10.0.0.1:8080", "10.0.0.1"],
      [" 10.0.0.1 ", "10.0.0.1"],
      ["::ffff:10.0.0.1", "10.0.0.1"],
      ["::FFFF:a00:1", "10.0.0.1"],
      ["0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1"],
      ["[::ffff:10.0.0.1]:443", "10.0.0.1"],
      ["64:ff9b::10.0.0.1", "10.0.0.1"],
      ["::ffff:192.168.210.34", "192.168.210.34"],
      ["::1", "0:0:0:0:0:0:0:1"],
      ["[::1]", "0:0:0:0:0:0:0:1"],
      ["[::1]:80", "0:0:0:0:0:0:0:1"],
      ["2001:DB8::0010:1", "2001:db8:0:0:0:0:10:1"],
      ["fe80::1%eth0", "fe80:0:0:0:0:0:0:1"],
      ["::", "0:0:0:0:0:0:0:0"],
      ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
      ["::10.0.0.1", "0:0:0:0:0:0:a00:1"],
      ["1::192.168.210.34", "1:0:0:0:0:0:c0a8:d222"],
    ]) {
      expect(plainAddress(text), text).to.equal(plain);
    }
  });

  it("is nothing where there is none", () => {
    for (const text of [undefined, ...NONE]) {
      expect([plainAddress(text), addressKey(text)], text).to.deep.equal(["", ""]);
    }
  });

  it("counts by itself for IPv4", () => {
    expect(addressKey("10.0.0.1:1")).to.equal("10.0.0.1");
    expect(addressKey("::ffff:10.0.0.1")).to.equal("10.0.0.1");
    expect(addressKey("10.0.0.2")).to.equal("10.0.0.2");
  });

  it("counts by its /64 network for IPv6", () => {
    const key = "2001:db8:1:2::/64";
    for (const text of ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "[2001:0DB8:1:2::9]:443"]) {
      expect(addressKey(text), text).to.equal(key);
    }
    expect(addressKey("2001:db8:1:3::1")).to.equal("2001:db8:1:3::/64");
    expect(addressKey("::1")).to.equal("0:0:0:0::/64");
  });
});
