import type { Request } from "express";
import { endSession, type LogoutOptions, sessionIdOf } from "../auth/logout.js";
import {
  checkIdentities,
  closeReasonOf,
  type DisconnectOptions,
  type Selection,
  type Selector,
  toSelection,
} from "../auth/selectors.js";
import type { Commands } from "../log/commands.js";
import type { Registry, ServerInfo } from "../registry/registry.js";
import type { Cluster } from "./cluster.js";
import type { Outcome } from "./inquiry.js";

export interface SelectionCommandsParts<Auth> {
  readonly commands: Commands;
  readonly cluster: Cluster<Auth>;
  readonly registry: Registry;
  /** Whether identities are told apart, by the option `identify`. */
  readonly hasIdentities: boolean;
}

/** The server's own methods for selected sockets, on all servers. */
export class SelectionCommands<Auth> {
  readonly #parts: SelectionCommandsParts<Auth>;

  constructor(parts: SelectionCommandsParts<Auth>) {
    this.#parts = parts;
  }

  disconnect(selector: Selector, options: DisconnectOptions | null | undefined): Promise<number> {
    return this.#parts.commands.run("disconnecting sockets failed", async () => {
      const { code, reason } = closeReasonOf(options);
      return socketsOf(await this.#parts.cluster.disconnect(this.#selection(selector), code, reason));
    });
  }

  refresh(selector: Selector): Promise<number> {
    return this.#parts.commands.run("refreshing sockets failed", async () =>
      socketsOf(await this.#parts.cluster.refresh(this.#selection(selector))),
    );
  }

  logout(req: Request, options: LogoutOptions): Promise<void> {
    return this.#parts.commands.reported("a logout failed", this.#logOut(req, options));
  }

  async #logOut(req: Request, options: LogoutOptions): Promise<void> {
    const { commands, cluster } = this.#parts;
    const { code, reason } = closeReasonOf(options);
    const selection: Selection = { by: "sessionId", value: sessionIdOf(req) };
    const revoke = (hasEnded: boolean) =>
      commands.attempt(() => cluster.disconnect(selection, code, reason, hasEnded));
    // clients come back until the session is gone; what they have got by then is revoked afterwards
    revoke(false).catch(() => {});
    await endSession(req, options.regenerate === true);
    await revoke(true);
  }

  servers(): Promise<ServerInfo[]> {
    const { commands, registry } = this.#parts;
    return commands.run("listing the servers failed", () => registry.servers());
  }

  #selection(selector: unknown): Selection {
    const selection = toSelection(selector);
    checkIdentities(selection, this.#parts.hasIdentities);
    return selection;
  }
}

/** The number of sockets that servers have told of, those of older ones included. */
function socketsOf({ answers, count }: Outcome): number {
  return answers.length + count;
}
