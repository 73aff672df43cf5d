import type { Request } from "express";
import { watchPromise } from "../../shared/promises.js";
import type { Reporter } from "../log/reporter.js";

/** Says whether pages of another origin may connect; see `TokenSocketServerOptions.allowedOrigins`. */
export type OriginFunction = (origin: string, req: Request) => boolean;

/** The kind of page that sent a request. */
export type Origin =
  /** It is of the same origin, or the request is no page's. */
  | "own"
  /** It is of another origin, which is allowed. */
  | { readonly foreign: string }
  /** It is of an origin that is not allowed, or the request does not say as much as it has to. */
  | "refused";

interface Options {
  readonly allowedOrigins: readonly string[] | RegExp | OriginFunction | undefined;
  readonly allowMissingOrigin: boolean;
}

/**
 * Decides on the pages that may send requests. Browsers name a page's origin in `Origin` (RFC 6454), but for
 * requests by GET within one; newer ones say in `Sec-Fetch-Site` where any request comes from.
 */
export class Origins {
  readonly #allows: (origin: string, req: Request) => unknown;
  readonly #allowsMissing: boolean;
  readonly #reporter: Reporter;
  /** The origins that have been warned of. */
  readonly #warned = new Set<string>();

  constructor({ allowedOrigins, allowMissingOrigin }: Options, reporter: Reporter) {
    this.#allows = matcherOf(allowedOrigins);
    this.#allowsMissing = allowMissingOrigin;
    this.#reporter = reporter;
  }

  /** `isUpgrade` says of a request that it asks for a WebSocket. */
  of(req: Request, isUpgrade = false): Origin {
    const { origin, "sec-fetch-site": site } = req.headers;
    if (origin === undefined) {
      if (site === "cross-site") return this.#refuse(req, "another site");
      if (this.#allowsMissing || !(isUpgrade || req.method === "POST")) return "own";
      return this.#refuse(req, undefined);
    }
    if (isOwn(origin, req)) return "own";
    return this.#allowsForeign(origin, req) ? { foreign: origin } : this.#refuse(req, origin);
  }

  /** Warns once of each origin, of so many that strangers cannot fill the log. */
  #refuse(req: Request, origin: string | undefined): "refused" {
    // Stryker disable next-line StringLiteral: any text that is no origin tells those that name none from others
    const name = JSON.stringify(origin?.slice(0, LONGEST_ORIGIN)) ?? "";
    if (this.#warned.has(name) || this.#warned.size >= MOST_WARNED) return "refused";
    this.#warned.add(name);
    const own = JSON.stringify(hostOf(req).slice(0, LONGEST_ORIGIN));
    this.#reporter.warn(
      origin === undefined
        ? "a request that names no origin was refused, as options.allowMissingOrigin has it"
        : `a page of ${name} was refused: this server is ${own} to it, and options.allowedOrigins does not allow others`,
    );
    return "refused";
  }

  #allowsForeign(origin: string, req: Request): boolean {
    try {
      const answer = this.#allows(origin, req);
      // a promise would be as good as a yes
      if (typeof answer === "boolean") return answer;
      watchPromise(answer, () => {});
      throw new TypeError("allowedOrigins must return true or false");
    } catch (error) {
      this.#reporter.error("allowedOrigins failed", error);
      return false;
    }
  }
}

const MOST_WARNED = 20;
const LONGEST_ORIGIN = 200;

/** Says whether a value is an origin as browsers write it. */
export function isOrigin(value: unknown): value is string {
  return typeof value === "string" && URL.canParse(value) && new URL(value).origin === value;
}

/** Express 5's `req.host`, with the port; Express 4's has none, and a warning. */
export function hostOf(req: Request): string {
  const { headers, app, socket } = req;
  const trusts: (address: string | undefined, hop: number) => boolean = app.get("trust proxy fn");
  const forwarded = trusts(socket.remoteAddress, 0) ? headers["x-forwarded-host"] : undefined;
  return (forwarded?.toString().split(",", 1)[0] ?? headers.host ?? "").trim();
}

function matcherOf(allowed: Options["allowedOrigins"]): (origin: string, req: Request) => unknown {
  if (allowed === undefined) return () => false;
  if (typeof allowed === "function") return allowed;
  if (!(allowed instanceof RegExp)) return (origin) => allowed.includes(origin);
  // a pattern that fits somewhere would fit https://example.com.evil, too; `g` and `y` would make it remember
  const whole = new RegExp(`^(?:${allowed.source})$`, allowed.flags.replace(/[gmy]/g, ""));
  return (origin) => origin !== "null" && whole.test(origin);
}

/**
 * An origin of the request's own host. A page over https may be behind a proxy that ends TLS without the application
 * knowing of it, but where it knows, a page over http is another one.
 */
function isOwn(origin: string, req: Request): boolean {
  if (!isOrigin(origin)) return false;
  const { protocol, host } = new URL(origin);
  if (protocol !== "https:" && (protocol !== "http:" || req.secure)) return false;
  const own = `${protocol}//${hostOf(req)}`;
  return URL.canParse(own) && new URL(own).host === host;
}
