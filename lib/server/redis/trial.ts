import type { ClientDriver } from "./client-driver.js";

/** A command that a server is going to need, to be carried out once on names that nobody uses. */
export interface Trial {
  /** The command's name, or those of several that are tried together, separated by spaces. */
  readonly commands: string;
  /** The key that it is about; one without a key is about a channel, or about nothing. */
  readonly key?: string;
  /** The command of an earlier trial that its script uses, too: that one tells where it is refused. */
  readonly uses?: string;
  /** The commands of an earlier trial without whose rights this one tells nothing new. */
  readonly after?: string;
  /** Whether the server does without it where Redis does not know it. */
  readonly isOptional?: boolean;
  run(driver: ClientDriver): Promise<unknown>;
}
