import { randomUUID } from "node:crypto";
import { expect } from "chai";
import type { Request, Response } from "express";
import type { Controller, Routes, Socket } from "../../lib/index.js";
import type { CloseReason } from "../../lib/shared/close-codes.js";
import { Application, type ApplicationOptions } from "./application.js";
import { SECRET } from "./bad-values.js";
import type { Frame, WireClient } from "./wire-client.js";

class Instance {
  method(): string {
    return "never";
  }
}

class Class {
  static helper(): string {
    return "never";
  }
  method(): string {
    return "never";
  }
}

const echo = (_auth: unknown, data: unknown) => data;
const leave = (_auth: unknown, _data: unknown, _callback: unknown, socket: Socket) => {
  socket.close();
};
const breakOnPurpose = () => {
  throw new Error("broken on purpose");
};

const socketController = Object.defineProperty(
  {
    echo,
    leave,
    keys: (_auth: unknown, data: unknown) => Object.keys(data as object),
    nested: Object.defineProperty({ echo }, "broken", { get: breakOnPurpose, enumerable: true }),
    withHelper: Object.assign((_auth: unknown) => "never", { helper: echo }),
    list: [echo],
    text: "text",
    nothing: null,
    instance: new Instance(),
    Class,
  },
  "broken",
  { get: breakOnPurpose, enumerable: true },
) as unknown as Controller;

const handler = (req: Request, res: Response) => {
  res.set("x-powered-by", "").removeHeader("x-powered-by");
  res.json({ body: req.body, query: req.query });
};

const routes = {
  handler,
  handlers: [handler],
  empty: [],
  mixed: [handler, "text"],
} as unknown as Routes;

/** An application, and a socket that is connected all the while and must not notice anything. */
export class Scene {
  readonly application: Application;
  readonly tokens: string[] = [];
  readonly witness: WireClient;
  /** Whatever would have ended the process. */
  readonly fatal: unknown[] = [];
  readonly #onFatal = (error: unknown) => this.fatal.push(error);
  #messages = 0;

  static async start(options: ApplicationOptions = {}): Promise<Scene> {
    const application = await Application.start({
      session: { auth: { name: "alice", note: SECRET } },
      // a stream that a megabyte has ended is opened again in time, also on a machine that is busy
      sockjs: { disconnect_delay: 1500 },
      ...options,
      options: {
        socketController,
        routes,
        debug: true,
        ...options.options,
        // what is so large is to get to the parser here
        limits: { messageBytes: 4_194_304, ...options.options?.limits },
      },
    });
    const tokens: string[] = [];
    const token = application.token.bind(application);
    application.token = async (...args) => {
      const made = await token(...args);
      tokens.push(made);
      return made;
    };
    const witness = await application.connect();
    await witness.subscribe("witness");
    return new Scene(application, witness, tokens);
  }

  private constructor(application: Application, witness: WireClient, tokens: string[]) {
    this.application = application;
    this.witness = witness;
    this.tokens = tokens;
    process.on("uncaughtException", this.#onFatal);
    process.on("unhandledRejection", this.#onFatal);
  }

  /** The process is up, the witness is served and has got nothing else, and just this was reported. */
  async check(reported: readonly string[] = []): Promise<void> {
    const { application, witness } = this;
    const message = { count: ++this.#messages };
    expect(await witness.request({ rpc: "echo", req: message, uuid: "w" })).to.deep.equal({
      rpc: "echo",
      uuid: "w",
      resp: message,
    });
    await application.tokenServer.publish("witness", message);
    expect(await witness.message("witness")).to.deep.equal(message);
    expect(witness.frames).to.deep.equal([]);
    expect(application.errors.splice(0).map((error) => error.message)).to.deep.equal(reported);
    expect(this.fatal.splice(0)).to.deep.equal([]);
  }

  async stop(): Promise<void> {
    const { application } = this;
    await application.stop();
    process.off("uncaughtException", this.#onFatal);
    process.off("unhandledRejection", this.#onFatal);
    expect(application.tokenServer.sockets()).to.deep.equal([]);
    expect(application.tokenServer.channels()).to.deep.equal([]);
    const log = application.log.join("\n");
    expect(log).not.to.include(SECRET);
    for (const token of this.tokens) expect(log).not.to.include(token);
  }
}

/** The frames that came before the answer to a request that is sent now. */
export async function framesUntilNow(client: WireClient): Promise<Frame[]> {
  const uuid = randomUUID();
  client.send({ rpc: "echo", uuid });
  const frames: Frame[] = [];
  for (;;) {
    const frame = await client.take();
    if (frame.uuid === uuid) return frames;
    frames.push(frame);
  }
}

/** Waits for the end of a connection; gives its last frames and its close code. */
export async function ending(client: WireClient): Promise<{ frames: Frame[]; code: number; reason: string }> {
  const { code, reason } = await client.closed;
  return { frames: client.frames.splice(0), code, reason };
}

/** How a connection ends that is refused. */
export const refusal = (answer: Record<string, unknown> | undefined, { code, reason }: CloseReason) => ({
  frames: answer ? [answer] : [],
  code,
  reason,
});
