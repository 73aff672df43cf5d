import { expect } from "chai";
import type fc from "fast-check";
import type { WireTransport } from "../wire-client.js";
import { type Model, ModelClient, type Request } from "./model.js";
import type { Real } from "./reality.js";

export type Command = fc.AsyncCommand<Model, Real>;

/** One step. Each compares everything with the model when it has been made. */
export abstract class Step implements Command {
  abstract check(model: Readonly<Model>): boolean;
  abstract make(model: Model, real: Real): Promise<void>;
  abstract toString(): string;

  async run(model: Model, real: Real): Promise<void> {
    await this.make(model, real);
    await real.check(model);
  }
}

export class Connect extends Step {
  constructor(
    readonly index: number,
    readonly transport: WireTransport,
  ) {
    super();
  }

  check(model: Model): boolean {
    return !model.clients.has(this.index) && (model.isUp || model.spareTokens > 0);
  }

  async make(model: Model, real: Real): Promise<void> {
    if (!model.isUp) model.spareTokens--;
    model.clients.set(this.index, new ModelClient());
    await real.connect(this.index, this.transport, model.isUp);
  }

  toString = () => `Connect(${this.index}, ${this.transport})`;
}

/** Presents a token: the first time to be let in. */
export class Authenticate extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.get(this.index)?.state === "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const client = real.client(this.index);
    const request: Request = { id: model.nextId(), type: "authenticate" };
    client.send(request.id, { rpc: "auth", token: client.token, protocol: 4 });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `Authenticate(${this.index})`;
}

/** Presents another token on a connection that is open, as a client does whose identity is about to end. */
export class Renew extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.isUp && model.clients.get(this.index)?.state === "open";
  }

  async make(model: Model, real: Real): Promise<void> {
    const token = await real.application.token();
    const request: Request = { id: model.nextId(), type: "authenticate" };
    real.client(this.index).send(request.id, { rpc: "auth", token, protocol: 4 });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `Renew(${this.index})`;
}

/** Asks for something without having been let in, and is turned away. */
export class Trespass extends Step {
  constructor(
    readonly index: number,
    readonly channel: string,
  ) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.get(this.index)?.state === "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const { wire } = real.client(this.index);
    const reply = await wire.request({ rpc: "_subscribe", req: { channel: this.channel } });
    expect(reply.error).to.equal("Forbidden");
    await wire.closed;
    await real.close(this.index);
    model.clients.delete(this.index);
  }

  toString = () => `Trespass(${this.index}, ${this.channel})`;
}

/** Joins or leaves a channel. */
export class ChangeMembership extends Step {
  constructor(
    readonly type: "subscribe" | "unsubscribe",
    readonly index: number,
    readonly channel: string,
  ) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.state ?? "connecting") !== "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const { type, channel } = this;
    const request: Request = { id: model.nextId(), type, channel };
    real.client(this.index).send(request.id, { rpc: `_${type}`, req: { channel } });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `${this.type}(${this.index}, ${this.channel})`;
}

/** Publishes. A message of a time without Redis may be lost, and reaches nobody twice. */
export class Publish extends Step {
  constructor(
    readonly index: number,
    readonly channel: string,
  ) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.state ?? "connecting") !== "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const { channel } = this;
    const request: Request = { id: model.nextId(), type: "publish", channel };
    const data = `message ${request.id}`;
    real.client(this.index).send(request.id, { rpc: "_publish", req: { channel, data } });
    if (!model.request(this.index, request)) return;
    await real.done(this.index, request);
    const members = model.members(channel);
    for (const [index, { state }] of model.clients) {
      if (state !== "open") continue;
      const client = real.client(index);
      if (members.includes(index)) {
        client.messages.push((await client.wire.take((frame) => frame.message === data)).message);
      } else if (members.length > 0) {
        // what the server has sent before this reply has come before it
        await client.wire.request({ rpc: "echo", req: null });
        client.read();
        expect(client.messages, `messages of ${index}`).not.to.include(data);
      }
    }
  }

  toString = () => `Publish(${this.index}, ${this.channel})`;
}

/** The server calls a client, which does not answer yet. */
export class CallClient extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.get(this.index)?.identified === true;
  }

  async make(model: Model, real: Real): Promise<void> {
    const { socket, wire, calls, fids } = real.client(this.index);
    const id = model.nextId();
    model.client(this.index).calls.add(id);
    const answer = real.application.tokenServer
      .rpc(socket, "answer", id, { timeout: Number.POSITIVE_INFINITY })
      .finally(() => calls.delete(id));
    answer.catch(() => {});
    calls.set(id, answer);
    fids.set(id, (await wire.takeCall()).fid);
  }

  toString = () => `CallClient(${this.index})`;
}

/** The client answers the oldest call. */
export class Answer extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.calls.size ?? 0) > 0;
  }

  async make(model: Model, real: Real): Promise<void> {
    const { calls } = model.client(this.index);
    const [id = 0] = calls;
    calls.delete(id);
    const client = real.client(this.index);
    const answer = client.calls.get(id);
    client.wire.send({ rpc: "_rpc", fid: client.fids.get(id), resp: { data: id } });
    expect(await answer).to.equal(id);
  }

  toString = () => `Answer(${this.index})`;
}

/** A client calls a function that does not answer yet. */
export class CallServer extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return (model.clients.get(this.index)?.state ?? "connecting") !== "connecting";
  }

  async make(model: Model, real: Real): Promise<void> {
    const request: Request = { id: model.nextId(), type: "hold" };
    real.client(this.index).send(request.id, { rpc: "hold", req: request.id });
    if (model.request(this.index, request)) await real.done(this.index, request);
  }

  toString = () => `CallServer(${this.index})`;
}

/** The server answers a client's oldest call, or the client takes it back. */
export class EndCall extends Step {
  constructor(
    readonly index: number,
    readonly how: "answered" | "cancelled",
  ) {
    super();
  }

  check(model: Model): boolean {
    const client = model.clients.get(this.index);
    return client?.state === "open" && client.held.size > 0;
  }

  async make(model: Model, real: Real): Promise<void> {
    const { held } = model.client(this.index);
    const [id = 0] = held;
    held.delete(id);
    const { unanswered, wire } = real.client(this.index);
    const replying = unanswered.get(id);
    if (this.how === "answered") real.held.get(id)?.();
    else wire.send({ rpc: "_cancel", req: { uuid: id } });
    const reply = await replying;
    if (this.how === "answered") expect(reply).to.have.property("resp", id);
    else expect(reply?.error).to.have.property("code", "aborted");
  }

  toString = () => `EndCall(${this.index}, ${this.how})`;
}

export class Close extends Step {
  constructor(readonly index: number) {
    super();
  }

  check(model: Model): boolean {
    return model.clients.has(this.index);
  }

  async make(model: Model, real: Real): Promise<void> {
    const calls = [...real.client(this.index).calls.values()];
    model.clients.delete(this.index);
    await real.close(this.index);
    for (const call of await Promise.allSettled(calls)) {
      expect(call.status === "rejected" && call.reason.name).to.equal("DisconnectedError");
    }
  }

  toString = () => `Close(${this.index})`;
}

/** Redis goes away, or comes back. */
export class ToggleRedis extends Step {
  check(): boolean {
    return true;
  }

  async make(model: Model, real: Real): Promise<void> {
    if (model.isUp) {
      model.isUp = false;
      await real.sever();
      return;
    }
    await real.mend();
    for (const [index, requests] of model.mend()) {
      for (const request of requests) await real.done(index, request);
    }
  }

  toString = () => "ToggleRedis";
}

export type CallStep = "call" | "answer" | "hold" | "end" | "cancel";

export function callStep(what: CallStep, index: number): Step {
  switch (what) {
    case "call":
      return new CallClient(index);
    case "answer":
      return new Answer(index);
    case "hold":
      return new CallServer(index);
    case "end":
      return new EndCall(index, "answered");
    case "cancel":
      return new EndCall(index, "cancelled");
  }
}
