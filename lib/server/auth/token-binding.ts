import type { Express, Request } from "express";
import { plainAddress } from "../limits/address.js";
import type { SockJSConnection } from "../transport/socket.js";
import { ipOf } from "./connection-address.js";
import type { TokenRecord } from "./token-store.js";

/** The binding of a token, beyond its identity: to the address that asked for it, or to a nonce of the client. */
export type TokenBinding = "ip" | "nonce" | false;

/** Long enough that nobody guesses it, and short enough to be kept. */
const NONCE = /^[\w-]{16,128}$/;

/** The nonce of a token request, of its query or its JSON body; undefined where it has none that is one. */
export function nonceOf(req: Request): string | undefined {
  const { nonce } = ((req.method === "POST" ? req.body : req.query) ?? {}) as { nonce?: unknown };
  return typeof nonce === "string" && NONCE.test(nonce) ? nonce : undefined;
}

/** Says whether a token is good on a connection, whose `auth` frame had this nonce. */
export function isBoundTo(
  binding: TokenBinding,
  app: Express,
  identity: Pick<TokenRecord<unknown>, "ip" | "nonce">,
  connection: SockJSConnection,
  nonce: unknown,
): boolean {
  if (binding === false) return true;
  if (binding === "nonce") return identity.nonce !== undefined && identity.nonce === nonce;
  // over a unix socket neither has one
  const address = plainAddress(identity.ip);
  return address !== "" && address === plainAddress(ipOf(app, connection));
}
