import type { Express } from "express";

/** A part of an application's router; one without a route is middleware. */
interface Layer {
  readonly route?: unknown;
}

/** Throws a `TypeError` for what is no Express application. */
export function checkApp(app: unknown): void {
  const { get, use, request, response } = (app ?? {}) as Record<string, unknown>;
  if (
    typeof app !== "function" ||
    typeof get !== "function" ||
    typeof use !== "function" ||
    !request ||
    !response
  ) {
    throw new TypeError("app must be an Express application, as express() makes it");
  }
}

/** Takes a route out of an application's router, which has no method for that. */
export function unmount(app: Express, route: object): void {
  const router = routerOf(app);
  // in a new list: a request that is under way counts in the one that it began with, and would pass over what comes next
  if (router) router.stack = router.stack.filter((layer) => layer.route !== route);
}

/** The path at which an application is mounted in others, the first of several; empty where it is not. */
export function mountPath(app: Express): string {
  const { parent, mountpath } = app as unknown as { parent?: Express; mountpath: string | string[] };
  const [own = ""] = [mountpath].flat();
  return parent ? mountPath(parent) + own.replace(/\/+$/, "") : "";
}

/** Mounts routes; where that throws, because the application cannot serve one, none of them stays. */
export function mount<Mounted>(app: Express, make: () => Mounted): Mounted {
  const before = new Set(layersOf(app));
  try {
    return make();
  } catch (error) {
    // only routes: Express 4 adds middleware of its own with the first of them
    for (const { route } of layersOf(app).filter((layer) => !before.has(layer))) {
      if (route) unmount(app, route);
    }
    throw error;
  }
}

/** An application's router; undefined where it has none yet. */
function routerOf(app: Express): { stack: Layer[] } | undefined {
  const routers = app as unknown as { _router?: { stack?: unknown }; router?: { stack?: unknown } };
  // Express 4 has a `router` as well, which throws
  const router = "lazyrouter" in app ? routers._router : routers.router;
  return Array.isArray(router?.stack) ? (router as { stack: Layer[] }) : undefined;
}

/** The parts of an application's router, in order. */
function layersOf(app: Express): readonly Layer[] {
  return routerOf(app)?.stack ?? [];
}
