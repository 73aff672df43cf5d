/** Types of calls, worked out of the types of the functions that are called; nothing here is there at run time. */

import type { StandardSchema } from "./standard-schema.js";

/** The type of a value after its way as JSON: a `Date` is a string, functions are gone, and so on. */
export type Json<T> = 0 extends 1 & T
  ? T
  : unknown extends T
    ? unknown
    : T extends { toJSON(): infer Encoded }
      ? Json<Encoded>
      : T extends string | number | boolean | null | undefined
        ? T
        : T extends bigint | symbol | ((...args: never[]) => unknown)
          ? never
          : T extends readonly unknown[]
            ? { [Index in keyof T]: JsonItem<T[Index]> }
            : T extends WithoutProperties
              ? Record<never, never>
              : {
                  [Key in keyof T as Key extends symbol | ErrorKey<T>
                    ? never
                    : [Json<T[Key]>] extends [never]
                      ? never
                      : Key]: Json<T[Key]>;
                };

/** The types that become `{}` as JSON. */
type WithoutProperties =
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | WeakMap<WeakKey, unknown>
  | WeakSet<WeakKey>
  | PromiseLike<unknown>
  | RegExp
  | ArrayBuffer;

/** The properties of an error that do not become JSON. A text that has a name and a message is none. */
type ErrorKey<T> = T extends Error ? ("stack" extends keyof T ? keyof Error : never) : never;

/** In an array, what has no JSON form is null. */
type JsonItem<T> = T extends undefined | symbol | ((...args: never[]) => unknown) ? null : Json<T>;

/** The result of a call; one that is undefined, or none, arrives as null. */
type Answer<T> = T extends void ? null : Json<T>;

/** Anything that can be called: a plain function, or what `procedure()` has made. */
type Callable = ((...args: never[]) => unknown) | { readonly "~types"?: unknown };

/** The input and the result of a call. */
interface Signature {
  readonly data: unknown;
  readonly result: unknown;
}

/** The signature of a function of the server, whose parameters are `(auth, data, callback, …)`, or of a procedure. */
type ServerSignature<F> = "~types" extends keyof F
  ? F extends { readonly "~types"?: { readonly input: infer Data; readonly result: infer Result } }
    ? { readonly data: Data; readonly result: Result }
    : Signature
  : F extends (...args: infer Parameters) => infer Returned
    ? {
        readonly data: ParameterAt<Parameters, "1">;
        readonly result: ResultOf<ParameterAt<Parameters, "2">, Returned, AlwaysReturned<Returned>>;
      }
    : never;

/** The signature of a function of the client, whose parameters are `(data, callback)`. */
type ClientSignature<F> = F extends (...args: infer Parameters) => infer Returned
  ? {
      readonly data: ParameterAt<Parameters, "0">;
      readonly result: ResultOf<ParameterAt<Parameters, "1">, Returned>;
    }
  : never;

type ParameterAt<Parameters, Index extends "0" | "1" | "2"> = Index extends "0"
  ? First<Parameters>
  : Index extends "1"
    ? First<Rest<Parameters>>
    : First<Rest<Rest<Parameters>>>;

type First<Parameters> = Parameters extends readonly []
  ? unknown
  : Parameters extends readonly unknown[]
    ? Parameters[0]
    : unknown;
type Rest<Parameters> = Parameters extends readonly [unknown?, ...infer Others] ? Others : [];

/**
 * A function that declares a callback answers by it, also with a value of which nothing is known; where it always answers by
 * returning `Also`, then by that.
 */
type ResultOf<Callback, Returned, Also = never> = unknown extends Callback
  ? Awaited<Returned>
  : Awaited<Returned> extends AsyncIterable<unknown>
    ? Awaited<Returned>
    : Callback extends (error: never, ...values: infer Values) => unknown
      ? [Also] extends [never]
        ? ByCallback<Values>
        : Also | (unknown extends ByCallback<Values> ? never : ByCallback<Values>)
      : unknown;

type ByCallback<Values> = Exclude<ParameterAt<Values, "0">, undefined>;

/**
 * The result of a server's function that declares a callback and returns a value; `never` if that is not always an answer. An object that
 * is in no promise may be a timer, which is none.
 */
type AlwaysReturned<Returned> = [Extract<Awaited<Returned>, void>] extends [never]
  ? Returned extends PromiseLike<unknown> | string | number | boolean | null | readonly unknown[]
    ? Awaited<Returned>
    : never
  : never;

/** The result of a call: a promise, or for a function that streams an async iterable, at once. */
export type Reply<Result> =
  Result extends AsyncIterable<infer Item> ? StreamReply<Json<Item>> : Promise<Answer<Result>>;

/** The answer of a function that streams: a promise of the stream, which can be read as the stream can. */
export type StreamReply<Item> = Promise<AsyncIterableIterator<Item, undefined>> &
  AsyncIterable<Item, undefined>;

/** The arguments of a call of the server. Without data it gets an empty object, where that is good. */
type Arguments<Data, Options> =
  Record<never, never> extends Data
    ? [data?: Data, options?: Options | null]
    : [data: Exclude<Data, undefined>, options?: Options | null];

/** The arguments of a call of a client, which may be called without data. */
type ClientArguments<Data, Options> = undefined extends Data
  ? [data?: Data, options?: Options | null]
  : [data: Data, options?: Options | null];

/** Functions as their caller sees them, nested as they are. */
export type ServerCalls<Functions, Options> = {
  readonly [Name in keyof Functions]: Functions[Name] extends Callable
    ? Call<ServerSignature<Functions[Name]>, Options>
    : ServerCalls<Functions[Name], Options>;
};

/** Likewise, of a client, which does not stream. */
export type ClientCalls<Functions, Options> = {
  readonly [Name in keyof Functions]: Functions[Name] extends (...args: never[]) => unknown
    ? (
        ...args: ClientArguments<ClientSignature<Functions[Name]>["data"], Options>
      ) => Promise<ClientAnswer<ClientSignature<Functions[Name]>["result"]>>
    : ClientCalls<Functions[Name], Options>;
};

/** The answer of a client that answers nothing is undefined. */
type ClientAnswer<T> = T extends void ? undefined : Json<T>;

type Call<Called extends Signature, Options> = (
  ...args: Arguments<Called["data"], Options>
) => Reply<Called["result"]>;

/**
 * Express handlers as functions that clients call: `TokenSocket<typeof controller & RouteFunctions<typeof routes>>`. The types
 * of the request's and the response's body are those that the handlers name, `Request<P, ResBody, ReqBody>` and
 * `Response<ResBody>`.
 */
export type RouteFunctions<Routes> = {
  readonly [Name in keyof Routes]: Routes[Name] extends RouteLike
    ? RouteFunction<HandlerIn<Routes[Name]>>
    : RouteFunctions<Routes[Name]>;
};

type RouteLike = ((...args: never[]) => unknown) | readonly unknown[];

interface RouteFunction<Handler> {
  readonly "~types": {
    readonly input: KnownOf<RequestBody<Handler>>;
    readonly result: RouteResult<KnownOf<ResponseBody<Handler>>>;
  };
}

/** The handlers of a route, apart from those of errors, which declare four parameters. */
type HandlerIn<Route> = Route extends readonly (infer Item)[]
  ? HandlerIn<Item>
  : Route extends (...args: infer Parameters) => unknown
    ? Parameters["length"] extends 4
      ? never
      : Route
    : never;

type RequestBody<Handler> = Handler extends (req: infer Request, ...others: never[]) => unknown
  ? Request extends { readonly body: infer Body }
    ? NotAny<Body>
    : never
  : never;

type ResponseBody<Handler> = Handler extends (req: never, res: infer Response, ...others: never[]) => unknown
  ? Response extends { json(body?: infer Body): unknown }
    ? NotAny<Exclude<Body, undefined>>
    : never
  : never;

/** A handler that names no type has `any`, which would hide what another one of its route names. */
type NotAny<T> = 0 extends 1 & T ? never : T;
type KnownOf<T> = [T] extends [never] ? unknown : T;

/** A body that is an object has the headers and the status beside its fields; bytes are base64. */
type RouteResult<Body> = unknown extends Body
  ? unknown
  : Body extends Uint8Array
    ? string
    : Body extends string | number | boolean | null | readonly unknown[]
      ? Body
      : Body & { readonly _headers: RouteHeaders; readonly _code: number };

interface RouteHeaders {
  readonly [name: string]: string | number | string[] | undefined;
}

/** The dotted paths of nested functions. */
export type PathOf<Functions> = string extends keyof Functions
  ? string
  : {
      [Name in keyof Functions & string]: Functions[Name] extends Callable
        ? Name
        : `${Name}.${PathOf<Functions[Name]>}`;
    }[keyof Functions & string];

/** The function at a path. */
type At<Functions, Path> = Path extends `${infer Name}.${infer Rest}`
  ? Name extends keyof Functions
    ? At<Functions[Name], Rest>
    : never
  : Path extends keyof Functions
    ? Functions[Path]
    : never;

/** The data that calls of a path take. */
export type CallData<Functions, Path> = ServerSignature<At<Functions, Path>>["data"];

/** The result of a call by path. */
export type CallReply<Functions, Path> = Reply<ServerSignature<At<Functions, Path>>["result"]>;

/** The value with which a call by path resolves. */
export type CallResult<Functions, Path> = Awaited<CallReply<Functions, Path>>;

/** The items of the stream that a call by path answers with; never where it answers otherwise. */
export type CallItem<Functions, Path> =
  CallReply<Functions, Path> extends AsyncIterable<infer Item> ? Item : never;

/** The arguments of a call by path. */
export type CallArguments<Functions, Path, Options> = Arguments<CallData<Functions, Path>, Options>;

/**
 * One type where nothing is known of a server, or of channels, and another where something is. What is asked about comes
 * first in each condition: only so is a client of known types one of unknown types, too.
 */
export type IfUnknown<Known, Then, Else> = keyof Known extends never ? Then : Else;

/** The names of channels that were declared; a `*` at the end of a name stands for anything. */
export type ChannelName<Channels> = NameLike<keyof Channels & string>;

export type NameLike<Pattern extends string> = Pattern extends `${infer Start}*`
  ? `${Start}${string}`
  : Pattern;

/** A message that may be published on a channel. */
export type ChannelInput<Channels, Name extends string> = InputOf<Declared<Channels, Name>>;

/** A message as a channel's schema has made it. */
export type ChannelOutput<Channels, Name extends string> = OutputOf<Declared<Channels, Name>>;

/** A message as it comes on a channel. */
export type ChannelMessage<Channels, Name extends string> = Json<OutputOf<Declared<Channels, Name>>>;

/** What is told of a channel's members: the result of the option's `info`, or null. */
export type MemberInfo<Members, Name extends string> =
  Declared<Members, Name> extends { readonly info: (...args: never[]) => infer Info }
    ? Json<Awaited<Info>> | null
    : unknown;

/** The state of a channel's members as the option's schema `state` has made it. */
export type MemberState<Members, Name extends string> = Json<OutputOf<StateSchema<Declared<Members, Name>>>>;

/** A state that may be set. */
export type MemberInput<Members, Name extends string> = InputOf<StateSchema<Declared<Members, Name>>>;

type StateSchema<Declaration> = Declaration extends { readonly state: infer Schema } ? Schema : unknown;

/** The declaration of a channel: a schema, or just the type of its messages. */
type Declared<Channels, Name extends string> = Name extends keyof Channels
  ? Channels[Name]
  : Channels[Longest<Matching<keyof Channels & string, Name>> & keyof Channels];

type Matching<Pattern extends string, Name extends string> = Pattern extends Pattern
  ? Name extends NameLike<Pattern>
    ? Pattern
    : never
  : never;

/** The patterns for which there is no longer one. */
type Longest<Pattern extends string, All extends string = Pattern> = Pattern extends `${infer Start}*`
  ? [Extract<Exclude<All, Pattern>, `${Start}${string}`>] extends [never]
    ? Pattern
    : never
  : Pattern;

type InputOf<Message> = Message extends StandardSchema<infer Input, infer _Output> ? Input : Message;
type OutputOf<Message> = Message extends StandardSchema<infer _Input, infer Output> ? Output : Message;
