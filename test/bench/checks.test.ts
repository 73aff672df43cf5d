import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { type Caller, Calls } from "../../bench/load/calls.js";
import { Deliveries, type Receiver } from "../../bench/load/deliveries.js";
import { SPEECHES } from "../../bench/load/dialects.js";
import { HttpSocket } from "../../bench/load/http.js";
import { channelOf, makeMessage, mark } from "../../bench/messages.js";
import { goalRows } from "../../bench/report/goals.js";
import { plot } from "../../bench/report/plot.js";
import { advantage, type CaseResult, METRICS, type Results } from "../../bench/report/results.js";
import { markdown, textTable } from "../../bench/report/table.js";
import { NOTHING_MEASURED } from "../support/benchmark-results.js";

function give(receiver: Receiver, text: string): void {
  const buffer = Buffer.from(`##${text}##`);
  receiver.take?.(buffer, 2, buffer.length - 2);
}

/** A server that delivers to two clients in one channel each what `deliver` makes of a number. */
function deliveriesOf(deliver: (number: number) => readonly number[]): Deliveries {
  const receivers: Receiver[] = Array.from({ length: 2 }, () => ({ take: undefined, onLost: () => {} }));
  return new Deliveries(receivers, {
    channels: 2,
    size: 100,
    publish: ({ first, count, size, channels }) => {
      for (let number = first; number < first + count; number++) {
        const receiver = receivers[Number(channelOf(number, channels).slice("channel-".length))];
        const text = deliver(number).map((each) => JSON.stringify(makeMessage(each, size)));
        if (receiver && text.length > 0) setImmediate(() => give(receiver, `a[${text}]`));
      }
    },
  });
}

/** A server that answers each call of one client with what `answer` makes of its number. */
function callsOf(answer: (number: number) => number): Calls {
  const caller: Caller = {
    take: undefined,
    onLost: () => {},
    speech: SPEECHES.bare,
    send: (message) => {
      const { id } = JSON.parse(message);
      setImmediate(() => give(caller, `{"id":${id},"resp":{"m":"${mark(answer(id))}"}}`));
    },
  };
  return new Calls([caller]);
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "none",
    (error: Error) => error.message,
  );
}

describe("what the benchmark checks", () => {
  it("counts deliveries, and how long they take", async () => {
    const deliveries = deliveriesOf((number) => [number]);
    expect(await deliveries.saturate(10, 1)).to.be.at.least(10);
    const delays = await deliveries.pace(1000, 10);
    expect(delays).to.have.length(10);
    expect(delays[0]).to.be.at.least(0);
  });

  it("makes messages of the size that was asked for", () => {
    expect(JSON.stringify(makeMessage(12, 100))).to.have.length(100);
    expect(JSON.stringify(makeMessage(12, 1000))).to.have.length(1000);
  });

  it("fails where a message is lost, comes twice, or in the wrong order", async () => {
    for (const deliver of [
      (number: number) => (number === 4 ? [] : [number]),
      (number: number) => (number === 4 ? [4, 4] : [number]),
      (number: number) => (number === 4 ? [6] : number === 6 ? [4] : [number]),
    ]) {
      expect(await failureOf(deliveriesOf(deliver).saturate(10, 1))).to.match(/has received message/);
    }
  });

  it("calls over HTTP, and fails where the answer is no success", async () => {
    const server = createServer((req, res) => {
      res.statusCode = req.url === "/route" ? 200 : 404;
      res.setHeader("Content-Length", req.headers["content-length"] ?? 0);
      req.pipe(res);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const run = async (path: string) => {
      const socket = new HttpSocket(port, path);
      const caller: Caller = {
        take: undefined,
        onLost: () => {},
        speech: SPEECHES.http,
        send: (message) => socket.write(message),
      };
      socket.receive = (buffer, start, end) => caller.take?.(buffer, start, end);
      socket.onLost = (error) => caller.onLost(error);
      await socket.upgraded;
      return failureOf(new Calls([caller]).run("route", 1, 5)).finally(() => socket.close());
    };
    try {
      expect(await run("/route")).to.equal("none");
      expect(await run("/elsewhere")).to.match(/Not the expected answer: HTTP\/1\.1 404/);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  it("asks for a history, and for what comes after a position, where a client is to recover", () => {
    const { login, subscribe } = SPEECHES["token 4 history"];
    expect(JSON.parse(login("t")?.text ?? "")).to.include({ protocol: 4, history: true });
    expect(JSON.parse(subscribe("a", 1, "e.2.3").text).req).to.deep.equal({ channel: "a", since: "e.2.3" });
    expect(JSON.parse(SPEECHES["token 4"].subscribe("a", 1).text).req).to.deep.equal({ channel: "a" });
    expect(SPEECHES["token 4"].login("t")?.text).to.not.include("history");
  });

  it("fails where an answer is that of another call", async () => {
    expect(await failureOf(callsOf((number) => number).run("echo", 3, 5))).to.equal("none");
    expect(await failureOf(callsOf((number) => number + 7).run("echo", 3, 5))).to.match(/to no call/);
  });
});

describe("what the benchmark reports", () => {
  const result: CaseResult = {
    scenario: "fan-out",
    title: "Fan-out",
    unit: "delivery",
    name: "1,000 sockets",
    rounds: {
      "ws-redis": [
        { rate: 200, cpu: 5 },
        { rate: 300, cpu: 4 },
        { rate: 90, cpu: 5 },
      ],
      "socket.io": [
        { rate: 100, cpu: 10 },
        { rate: 100, cpu: 12 },
        { rate: 60, cpu: 20 },
      ],
    },
  };
  const results: Results = {
    ...NOTHING_MEASURED,
    cases: [result],
    failures: [{ scenario: "rpc", contender: "bare-ws", round: 2, message: "Broken" }],
  };

  it("compares within a round, so that above 1 is better, and gives the spread", () => {
    const [rate, cpu] = ["rate", "cpu"].map((name) => METRICS.find((metric) => metric.name === name));
    if (!rate || !cpu) throw new Error("No such metrics");
    expect(advantage(result, "ws-redis", "socket.io", rate)).to.deep.equal({
      median: 2,
      least: 1.5,
      most: 3,
    });
    expect(advantage(result, "ws-redis", "socket.io", cpu)).to.deep.equal({ median: 3, least: 2, most: 4 });
    expect(advantage(result, "ws-redis", "version-2", cpu)).to.equal(undefined);
  });

  it("has a row for each contender, and what failed", () => {
    expect(textTable(result)).to.match(
      /plain WebSocket, Redis +200 +5\.00 +2\.00 \(1\.50–3\.00\), CPU 3\.00/,
    );
    const text = markdown(results);
    expect(text).to.match(/\| Socket\.IO, Redis adapter \| 100 \| 12\.00 \|/);
    expect(text).to.include("bare-ws in rpc, round 2: Broken");
  });

  it("says which goals are reached, and which are missed", () => {
    const measured = {
      ...NOTHING_MEASURED,
      cases: [{ ...result, name: "1,000 sockets, 100 B, bursts of ten" }],
    };
    expect(goalRows(measured)).to.deep.equal([
      ["", "to reach", "SockJS", "plain WebSocket"],
      ["fan-out in bursts of ten, ÷ Socket.IO", "5.00", "", "2.00 (1.50–3.00), missed"],
    ]);
    const burst = { "ws-redis": [{ rate: 500 }], "socket.io": [{ rate: 100 }] };
    expect(
      markdown({ ...measured, cases: measured.cases.map((each) => ({ ...each, rounds: burst })) }),
    ).to.match(/### In short[\s\S]*\| 5\.00 \| {2}\| 5\.00 \|/);
  });

  it("draws each case", () => {
    expect(plot(results)).to.match(/^<svg [\s\S]*fan-out: 1,000 sockets[\s\S]*<\/svg>\n$/);
  });
});
