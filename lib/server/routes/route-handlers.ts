import type { NextFunction, Request, Response } from "express";

/** An Express handler or middleware; it may name its own types of request and response. */
export type RouteHandler = {
  // a method's parameters may be narrowed: `Request<{ id: string }>`, `Request & { user: User }`
  bivariant(req: Request, res: Response, next: NextFunction): unknown;
}["bivariant"];

/** An Express error handler: it declares four parameters, and runs only for errors of the handlers before it. */
export type RouteErrorHandler = {
  bivariant(error: unknown, req: Request, res: Response, next: NextFunction): unknown;
  // two signatures keep this type out of what TypeScript infers for a handler written inside an array
  bivariant<E>(error: E, req: Request, res: Response, next: NextFunction): unknown;
}["bivariant"];

/**
 * An error that a handler has raised, and how: given to its own `next` on purpose, thrown (or rejected with),
 * or given by Express itself, whose `res.sendFile`, `res.render` and `res.format` call `req.next`.
 */
export interface Raised {
  readonly error: unknown;
  readonly by: "next" | "throw" | "express";
}

/** Any handler as it is called, the four-parameter ones included. */
type AnyHandler = (...args: unknown[]) => unknown;

/** Callbacks for how a run of handlers goes on and ends. */
export interface HandlersObserver {
  /** Says whether a further handler may run. */
  mayGoOn(): boolean;
  /**
   * Told when nothing is left to run, with the error that nobody handled if there is one; several times where handlers
   * call `next` several times.
   */
  pastTheEnd(raised?: Raised): void;
}

/**
 * Runs handlers one after another as Express does: each goes on by `next`, an error skips to the next error
 * handler.
 */
export function runHandlers(
  handlers: readonly (RouteHandler | RouteErrorHandler)[],
  req: Request,
  res: Response,
  observer: HandlersObserver,
): void {
  let position = 0;

  const advance = (raised?: Raised): void => {
    let current = raised;
    while (position < handlers.length && observer.mayGoOn()) {
      const handler = handlers[position++] as AnyHandler;
      try {
        if (current ? handler.length !== 4 : handler.length > 3) continue;
      } catch (error) {
        // a getter of the handler itself has thrown
        current = thrown(error);
        continue;
      }
      return invoke(handler, current);
    }
    observer.pastTheEnd(current);
  };

  const invoke = (handler: AnyHandler, current: Raised | undefined): void => {
    const next = nextOf("next", current);
    try {
      const result = current ? handler(current.error, req, res, next) : handler(req, res, next);
      if (isThenable(result)) Promise.resolve(result).catch((error: unknown) => advance(thrown(error)));
    } catch (error) {
      advance(thrown(error));
    }
  };

  const nextOf =
    (by: Raised["by"], current?: Raised) =>
    (value?: unknown): void => {
      if (value === "route" || value === "router") {
        position = handlers.length;
        return advance();
      }
      if (!value) return advance();
      // an error that is only passed on stays what it was: what was thrown is not for the caller to see
      advance(current && value === current.error ? current : { error: value, by });
    };

  req.next = nextOf("express");
  advance();
}

function thrown(error: unknown): Raised {
  return { error: error || new Error(`A handler threw ${String(error)}`, { cause: error }), by: "throw" };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
