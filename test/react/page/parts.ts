/** The components that a test puts on a page, by name; what they show is JSON. */

import * as React from "react";
import {
  createElement,
  Fragment,
  type FunctionComponent,
  type ReactElement,
  type ReactNode,
  StrictMode,
  useEffect,
  useLayoutEffect,
} from "react";
import type { Loss, TokenSocket } from "../../../lib/client/index.js";
import {
  type ResultOptions,
  TokenSocketProvider,
  type UseCall,
  useCall,
  useChannel,
  useConnectionState,
  useHistory,
  useIdentity,
  usePresence,
  useResult,
  useStream,
} from "../../../lib/react/index.js";

/** A component of a page. Its `id` is its key as well, so that it stays the same one when its properties change. */
export type Part = { readonly id: string } & (
  | { readonly type: "state" }
  /** All hooks at once, whose functions give the name of the user. `isPlain`: without `useIdentity`. */
  | { readonly type: "who"; readonly isPlain?: boolean }
  /** Components that may be hidden, where this version of React can. */
  | { readonly type: "activity"; readonly isHidden: boolean; readonly parts: readonly Part[] }
  | {
      readonly type: "channel";
      readonly name: string | null;
      readonly as?: string;
      readonly fails?: boolean;
      /** What is lost is noted as `id lost:json`. */
      readonly options?: { readonly since?: string; readonly last?: number };
    }
  | {
      readonly type: "history";
      readonly name: string | null;
      readonly last?: number;
      readonly limit?: number;
    }
  | {
      readonly type: "presence";
      readonly name: string | null;
      readonly join?: boolean;
      readonly atOnce?: unknown;
    }
  | { readonly type: "call"; readonly path: string; readonly atOnce?: unknown }
  | {
      readonly type: "result";
      readonly path: string;
      readonly input?: unknown;
      readonly options?: ResultOptions;
    }
  | {
      readonly type: "stream";
      readonly path: string;
      readonly input?: unknown;
      readonly options?: { readonly enabled?: boolean; readonly restart?: boolean; readonly window?: number };
      /** Items go to a handler: `log` notes them, `slow` is done when it is let go on, `fail` throws. */
      readonly handler?: "log" | "slow" | "fail";
    }
);

/** What the components tell of themselves. */
const noNotes = () => ({
  /** Each message and each item that a handler got, as `id:json`. */
  log: [] as string[],
  /** Each component's `loadOlder`, by id. */
  loaders: new Map<string, () => Promise<void>>(),
  /** Each component's `set` of its state, by id. */
  setters: new Map<string, (state: unknown) => Promise<void>>(),
  /** What `useCall` gave, by id. */
  calls: new Map<string, UseCall>(),
  /** Lets the slow handlers go on. */
  waiting: [] as (() => void)[],
  /** Each connection state that was shown. */
  states: [] as string[],
  /** What the components that show who the user is have shown together, as JSON, one for each commit. */
  commits: [] as string[],
});

export const notes = noNotes();

export function forgetNotes(): void {
  Object.assign(notes, noNotes());
}

type Props<Type extends Part["type"]> = Extract<Part, { type: Type }>;

const COMPONENTS = {
  state: State,
  who: Who,
  activity: Hideable,
  channel: Channel,
  history: History,
  presence: Members,
  call: Calls,
  result: Loaded,
  stream: Streamed,
};

/** Since React 19.2. */
const Activity = Reflect.get(React, "Activity") as
  | FunctionComponent<{ mode: "hidden" | "visible"; children?: ReactNode }>
  | undefined;

/** A page in StrictMode. */
export function Page({
  socket,
  parts,
}: {
  socket: TokenSocket | null;
  parts: readonly Part[];
}): ReactElement {
  return createElement(
    StrictMode,
    null,
    createElement(TokenSocketProvider, { socket }, createElement(Fragment, null, elementsOf(parts))),
  );
}

function elementsOf(parts: readonly Part[]): ReactElement[] {
  return parts.map((part) =>
    createElement(COMPONENTS[part.type] as (props: Part) => ReactElement, { key: part.id, ...part }),
  );
}

function show(id: string, value: unknown): ReactElement {
  const json = JSON.stringify(value, (_, inner: unknown) =>
    inner instanceof Error ? { name: inner.name, message: inner.message } : inner,
  );
  return createElement("output", { id }, json);
}

function State({ id }: Props<"state">): ReactElement {
  const { state, reason } = useConnectionState();
  useEffect(() => {
    if (notes.states.at(-1) !== state) notes.states.push(state);
  }, [state]);
  return show(id, { state, reason });
}

function Who({ id, isPlain = false }: Props<"who">): ReactElement {
  const identity = useIdentity();
  const { data, isPending } = useResult("who");
  const { call, data: called } = useCall("who");
  const { last } = useStream("whoEver");
  const shown = { identity: isPlain ? undefined : identity, data, called, last, isPending };
  notes.calls.set(id, { call } as UseCall);
  useLayoutEffect(() => {
    notes.commits.push(JSON.stringify(shown));
  });
  return show(id, shown);
}

function Hideable({ isHidden, parts }: Props<"activity">): ReactElement {
  if (!Activity) throw new Error("this React has no Activity");
  return createElement(Activity, { mode: isHidden ? "hidden" : "visible" }, elementsOf(parts));
}

function Channel({ id, name, as = id, fails = false, options }: Props<"channel">): ReactElement {
  const handle = (message: unknown) => {
    if (fails) throw new Error(`the handler ${id} has failed`);
    notes.log.push(`${as}:${JSON.stringify(message)}`);
  };
  const onLost = (loss: Loss) => notes.log.push(`${as} lost:${JSON.stringify(loss)}`);
  return show(id, useChannel(name, handle, options && { ...options, onLost }));
}

function History({ id, name, last, limit }: Props<"history">): ReactElement {
  const { messages, loadOlder, ...state } = useHistory(name, { last, limit });
  notes.loaders.set(id, loadOlder);
  return show(id, { texts: messages.map(({ message }) => message).join(), ...state });
}

function Members({ id, name, join, atOnce }: Props<"presence">): ReactElement {
  const { members, set, ...state } = usePresence(name, join === undefined ? undefined : { join });
  notes.setters.set(id, set);
  useEffect(() => {
    if (atOnce !== undefined) void set(atOnce);
  }, [set, atOnce]);
  return show(id, { ids: members.map((member) => member.id).join(), ...state });
}

function Calls({ id, path, atOnce }: Props<"call">): ReactElement {
  const given = useCall(path);
  const { call } = given;
  notes.calls.set(id, given);
  useEffect(() => {
    if (atOnce !== undefined) void call(atOnce);
  }, [call, atOnce]);
  const { data, error, isPending } = given;
  return show(id, { data, error, isPending });
}

function Loaded({ id, path, input, options }: Props<"result">): ReactElement {
  const { data, error, isPending } = useResult(path, input, options);
  return show(id, { data, error, isPending });
}

function Streamed({ id, path, input, options, handler }: Props<"stream">): ReactElement {
  const onItem = (item: unknown) => {
    notes.log.push(`${id}:${JSON.stringify(item)}`);
    if (handler === "fail") throw new Error(`the handler ${id} has failed`);
    return handler === "slow" ? new Promise<void>((resolve) => notes.waiting.push(resolve)) : undefined;
  };
  return show(id, useStream(path, input, handler ? { ...options, onItem } : options));
}
