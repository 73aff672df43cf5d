import type { Express } from "express";

/** Takes a route out of an application's router, which has no method for that; Express 4 keeps it elsewhere. */
export function unmount(app: Express, route: object): void {
  const routers = app as unknown as { _router?: { stack?: unknown }; router?: { stack?: unknown } };
  // in this order: Express 4 has a `router` as well, which throws
  const stack = routers._router?.stack ?? routers.router?.stack;
  if (!Array.isArray(stack)) return;
  const index = stack.findIndex((layer: { route?: unknown }) => layer.route === route);
  if (index !== -1) stack.splice(index, 1);
}
