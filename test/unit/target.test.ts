import { expect } from "chai";
import { parseTarget, toTarget } from "../../lib/server/cluster/target.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";

const limits = { ...DEFAULT_LIMITS, channelNameLength: 5 };
const EXPECTED = "selector must be a socket, { sid }, { identity }, { sessionId } or { channel }";

describe("A target", () => {
  it("is a socket, an identity, a session, or all of a channel", () => {
    expect(toTarget({ sid: "a" }, limits)).to.deep.equal({ by: "sid", value: "a" });
    expect(toTarget({ identity: 7 }, limits)).to.deep.equal({ by: "identity", value: "7" });
    expect(toTarget({ sessionId: "s" }, limits)).to.deep.equal({ by: "sessionId", value: "s" });
    expect(toTarget({ channel: "room" }, limits)).to.deep.equal({ by: "channel", value: "room" });
    for (const absent of [{ sid: undefined }, { identity: undefined }, { sessionId: undefined }]) {
      expect(toTarget({ ...absent, channel: "room" }, limits).by).to.equal("channel");
    }
  });

  it("is a socket also where the application has put a channel on it", () => {
    const socket = { sid: "a", channel: "room", close() {} };
    expect(toTarget(socket, limits)).to.deep.equal({ by: "sid", value: "a" });
  });

  it("is nothing else, since nothing may mean everybody", () => {
    for (const wrong of [undefined, null, {}, "ann", 7, { sid: "" }, { identity: null }, { sessionId: 5 }]) {
      expect(() => toTarget(wrong, limits), JSON.stringify(wrong)).to.throw(TypeError);
    }
    expect(() => toTarget({}, limits)).to.throw(TypeError, EXPECTED);
    for (const other of [{ sid: "a" }, { identity: "a" }, { sessionId: "a" }]) {
      expect(() => toTarget({ ...other, channel: "room" }, limits)).to.throw(
        TypeError,
        `${EXPECTED}, and no two`,
      );
    }
    for (const channel of ["", "rooms!", "___all___", 5, null, ["room"]]) {
      expect(() => toTarget({ channel }, limits), String(channel)).to.throw(TypeError, "channel");
    }
  });

  it("is read of what another server has sent, or is none", () => {
    for (const by of ["sid", "identity", "sessionId", "channel"]) {
      expect(parseTarget({ by, value: "x", action: {} })).to.deep.equal({ by, value: "x" });
      for (const value of ["", 5, null, undefined, ["x"], {}]) {
        expect(parseTarget({ by, value }), `${by} ${value}`).to.equal(undefined);
      }
    }
    for (const by of [undefined, null, "", "all", "Channel", ["channel"], 5]) {
      expect(parseTarget({ by, value: "x" }), String(by)).to.equal(undefined);
    }
  });
});
