import type { Request } from "express";
import type { ExpiresAt, Expiring } from "./expiry.js";

/**
 * The answer of `authentication`: an identity; another truthy value, which stands for the session's data; or one that is
 * not, which refuses. Where `Auth` may have any keys nothing is known of it.
 */
export type AuthenticationResult<Auth> = string extends keyof Auth
  ? unknown
  : Auth | Expiring<Auth> | string | number | boolean | null | undefined;

/** A function that decides who gets a token. Its first parameter is the token request; a falsy answer is a 403. */
export type AuthenticationFunction<Auth = Record<string, unknown>> = {
  // a method's parameters may be narrowed, so that handlers may name a request type of their own
  bivariant(
    req: Request,
    callback: (
      error?: unknown,
      auth?: AuthenticationResult<Auth>,
      options?: { expiresAt?: ExpiresAt | null | undefined } | null,
    ) => void,
    // biome-ignore lint/suspicious/noConfusingVoidType: one that answers by the callback returns nothing
  ): AuthenticationResult<Auth> | PromiseLike<AuthenticationResult<Auth>> | void;
}["bivariant"];
