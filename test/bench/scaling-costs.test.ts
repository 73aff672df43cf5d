import { expect } from "chai";
import { measureMessages } from "../../bench/scaling/message-costs.js";
import { measureRedis, type RedisScale } from "../../bench/scaling/redis-costs.js";

const SMOKE: RedisScale = {
  messages: 200,
  copied: 100,
  subscribers: 4,
  fewSubscribers: 2,
  publishers: 3,
  channels: 1_500,
  times: 1,
};

describe("what Redis' work costs", () => {
  it("is measured", async function () {
    this.timeout(90_000);
    const constants = await measureRedis(SMOKE);
    expect(Object.keys(constants)).to.have.members([
      "publish",
      "copy",
      "burstCopy",
      "publishAlone",
      "publishToFew",
      "copyBytes",
      "frameBytes",
      "token",
      "subscribe",
      "subscribed",
      "busSend",
      "busReceive",
      "shardPublish",
    ]);
    for (const [name, { value, measured }] of Object.entries(constants)) {
      expect(Number.isFinite(value), `${name}: ${value}`).to.equal(true);
      expect(measured.versions).to.match(/^Redis \d/);
    }
    expect(constants.copyBytes?.value).to.be.greaterThan(100);
    expect(constants.frameBytes?.value).to.be.greaterThan(100);
    expect(constants.subscribed?.value).to.be.greaterThan(0);
  });
});

describe("what messages cost a server by how many come at once", () => {
  it("is measured", async function () {
    this.timeout(90_000);
    const scale = { rounds: 1, sockets: 10, firstWarmUp: 5, warmUp: 5, time: 20 };
    const constants = await measureMessages(scale);
    expect(Object.keys(constants)).to.have.members(["turn", "message"]);
    for (const [name, { value }] of Object.entries(constants)) {
      expect(value, name).to.be.at.least(0);
    }
  });
});
