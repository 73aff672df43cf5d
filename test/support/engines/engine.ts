/** How long a browser may take to start on a busy machine, in milliseconds. */
export const LAUNCHING = 60_000;

/** A browser engine that runs the client in a page. */
export interface Engine {
  readonly name: string;
  /** Starts the browser with a fresh profile, which goes away with it. */
  launch(): Promise<EnginePage>;
}

/** The one page of a browser that was started. */
export interface EnginePage {
  /** Opens a URL; resolves when the page has loaded. */
  open(url: string): Promise<void>;
  /** Evaluates an expression in the page, and waits for what it promises; resolves with the value, as JSON has it. */
  evaluate(expression: string): Promise<unknown>;
  /** Ends the browser; resolves when its processes and its profile are gone. */
  close(): Promise<void>;
}
